"""Listens on a port of this machine until it is told to stop."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from modelwright.core.artifact import MANIFEST, read_manifest
from modelwright.core.errors import UsageError, from_os_error
from modelwright.data.feedback.table import FeedbackTable
from modelwright.inference.background import MAX_WAITING, BackgroundEngine
from modelwright.inference.engine import Engine
from modelwright.inference.networks import WeightChoice
from modelwright.inference.threads import use_decoding_threads
from modelwright.monitoring.request_recorder import RequestRecorder
from modelwright.serving.access.drain import Drain
from modelwright.serving.access.keys import KeyFile
from modelwright.serving.access.origin_guard import is_loopback
from modelwright.serving.access_log import LineWriter, LogForm
from modelwright.serving.api.limits import DEFAULT_LIMITS, Limits
from modelwright.serving.api.served_model import ServedModel
from modelwright.serving.api.served_models import ServedModels
from modelwright.serving.app import create_app
from modelwright.serving.hand_over.vllm_engine import VllmEngine
from modelwright.serving.hand_over.vllm_process import VllmOptions, VllmProcess

_PORTS_TO_TRY = 100
_GRACE_SECONDS = 5

DRAIN_SECONDS = 30.0


@dataclass(frozen=True)
class ServeOptions:
    """How to serve.

    Attributes
    ----------
    aliases : mapping of str to str
        Other names, and the models that they stand for.
    keys : KeyFile or None
        Who may use it; None for everybody on this machine.
    max_waiting : int
        Most texts of a model that may wait beside those that run.
    limits : Limits
        Of each request.
    drain_seconds : float
        How long running requests may take once the end is asked for.
    log : {"json", "text", "off"} or None
        The line of each request; None for columns on a terminal and JSON elsewhere.
    log_prompts : bool
        Whether prompts and answers are in the lines of JSON.
    recorder : RequestRecorder or None
        Keeps requests and answers; the caller runs it.
    feedback : FeedbackTable or None
        Where it is kept what people think of answers; the caller closes it.
    adapters : mapping of str to Path
        Folders of adapters of the first model, by the names that clients call them.
    weights : str
        How models are run (``inference/networks.py``).
    max_sequences : int
        Limit of each engine, see :class:`Engine`.
    step_tokens, cache_tokens : int or None
        Likewise.
    speculate : int or None
        Likewise; without a draft model, the other models guess from what texts repeat.
    draft : Path or None
        Folder of the first model's draft model.
    open_browser : bool
        Whether to open the chat page.
    vllm : VllmOptions or None
        Have vLLM run the only model; None for our engine.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    keys: KeyFile | None = None
    max_waiting: int = MAX_WAITING
    limits: Limits = DEFAULT_LIMITS
    drain_seconds: float = DRAIN_SECONDS
    log: LogForm | None = None
    log_prompts: bool = False
    recorder: RequestRecorder | None = None
    feedback: FeedbackTable | None = None
    adapters: Mapping[str, Path] = field(default_factory=dict)
    weights: WeightChoice = "auto"
    max_sequences: int = 16
    step_tokens: int | None = None
    cache_tokens: int | None = None
    speculate: int | None = None
    draft: Path | None = None
    open_browser: bool = False
    vllm: VllmOptions | None = None


def serve(
    folders: Mapping[str, Path],
    host: str = "127.0.0.1",
    port: int = 8000,
    options: ServeOptions | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve models until Ctrl-C or SIGTERM.

    Parameters
    ----------
    folders : mapping of str to Path
        Models' folders by the names that clients call them, at least one.
    host : str
        Where it is reached; with keys this may be another than a loopback name or address.
    port : int
        Where to listen; 0 takes any free port.
    options : ServeOptions, optional
        The rest.
    ready : callable, optional
        Called with the address once the server answers.

    Raises
    ------
    UsageError
        If the host is not this machine's own and there are no keys, the port is in use, or a name
        is used twice.
    InputError
        If a folder holds no usable model.
    """
    options = options or ServeOptions()
    keys = options.keys
    if keys is not None and not keys.keys():
        raise UsageError(
            "there is no key yet, so nobody could come in",
            where=keys.path,
            fix=f"make one with 'modelwright keys create NAME --file {keys.path}'",
        )
    with listen(host, port, has_keys=keys is not None) as listener, ExitStack() as stack:
        open_models = _load_models if options.vllm is None else _hand_over
        models = open_models(folders, options, stack)
        drain = Drain(options.drain_seconds)
        form = options.log or ("text" if sys.stderr.isatty() else "json")
        lines = LineWriter(form, options.log_prompts)
        app = create_app(
            models,
            keys=keys,
            feedback=options.feedback,
            drain=drain,
            recorder=options.recorder,
            on_end=[lines],
        )
        address = address_of(listener)

        def announce() -> None:
            names = ", ".join([*folders, *options.adapters])
            verb = "answers" if "," not in names else "answer"
            print(f"{names} {verb} at {address} (chat page and API; Ctrl-C stops)", flush=True)
            if options.open_browser:
                webbrowser.open(address)
            if ready is not None:
                ready(address)

        def stop() -> None:
            for background in models.engines.values():
                background.stop()

        run_app(app, listener, announce, stop, drain)


def _load_models(
    folders: Mapping[str, Path], options: ServeOptions, stack: ExitStack
) -> ServedModels:
    """Open all models, and the adapters of the first, and run their engines."""
    use_decoding_threads(list(folders.values()))
    served = list[ServedModel]()
    for name, folder in folders.items():
        is_first = not served
        engine = Engine.load(
            folder,
            max_sequences=options.max_sequences,
            step_tokens=options.step_tokens,
            cache_tokens=options.cache_tokens,
            weights=options.weights,
            speculate=options.speculate,
            draft=options.draft if is_first else None,
        )
        for adapter, place in options.adapters.items() if is_first else ():
            engine.add_adapter(adapter, place)
        background = stack.enter_context(BackgroundEngine(engine, options.max_waiting))
        model = ServedModel(background, name, is_chat=is_chat_model(folder), limits=options.limits)
        served.append(model)
        if is_first:
            served += [
                replace(model, name=adapter, is_chat=True, parent=name, adapter=adapter)
                for adapter in options.adapters
            ]
    return ServedModels(served, options.aliases)


def _hand_over(
    folders: Mapping[str, Path], options: ServeOptions, stack: ExitStack
) -> ServedModels:
    """Start vLLM on the model, and wait until it answers."""
    if len(folders) > 1 or options.adapters:
        raise UsageError(
            "vLLM runs one model, without adapters, behind this server",
            fix="serve each model on a port of its own; 'modelwright merge' puts an adapter into "
            "its model",
        )
    assert options.vllm is not None
    name, folder = next(iter(folders.items()))
    process = stack.enter_context(VllmProcess(folder, options.max_sequences, options.vllm))
    print(f"starting vLLM; its log: {process.log}", file=sys.stderr, flush=True)
    process.wait_until_ready()
    engine = VllmEngine(process, folder, options.max_sequences, options.max_waiting)
    model = ServedModel(
        stack.enter_context(engine), name, is_chat=is_chat_model(folder), limits=options.limits
    )
    return ServedModels([model], options.aliases)


def run_app(
    app: ASGIApp,
    listener: socket.socket,
    announce: Callable[[], None],
    stop: Callable[[], None],
    drain: Drain | None = None,
) -> None:
    """Answer requests until Ctrl-C or SIGTERM.

    Parameters
    ----------
    app : ASGI application
        Answers.
    listener : socket.socket
        From :func:`listen`; the caller closes it.
    announce : callable
        Called once requests are answered.
    stop : callable
        Called when all that still runs is to end; from a signal handler, so it must return at once.
    drain : Drain, optional
        What runs when the end is asked for may finish in its time; a second signal cuts that short.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    _Server(config, announce, stop, drain or Drain(0)).run(sockets=[listener])


def load_engine(folder: Path) -> Engine:
    """Load a model to answer people with, on as many threads as suit it."""
    use_decoding_threads([folder])
    return Engine.load(folder, weights="auto")


def is_chat_model(folder: Path) -> bool:
    """Whether a model was taught to answer; one of unknown origin is taken to be."""
    if not (folder / MANIFEST).is_file():
        return True
    manifest = read_manifest(folder)
    # Prompts and completions alone do not teach to take turns.
    return manifest.stage != "pretrain" and manifest.counts.get("conversations", 1) > 0


def listen(host: str, port: int, *, has_keys: bool = False) -> socket.socket:
    """A socket that listens on an address.

    Raises
    ------
    UsageError
        If other machines could reach it and there are no keys, or the port is in use.
    """
    if not (has_keys or is_loopback(host)):
        raise UsageError(
            f"'{host}' can be reached from other machines, and this server has no keys",
            fix="make one with 'modelwright keys create NAME', or serve on 127.0.0.1",
        )
    try:
        return _bind(host, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise from_os_error(error) from None
    free = _next_free_port(host, port)
    raise UsageError(
        f"port {port} is in use by another program",
        where=f"{host}:{port}",
        fix=f"use --port {free}" if free else "use --port 0 to take any free port",
    )


def _bind(host: str, port: int) -> socket.socket:
    bare = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    return socket.create_server((bare, port), family=family)


def _next_free_port(host: str, port: int) -> int | None:
    for candidate in range(port + 1, min(port + _PORTS_TO_TRY, 65536)):
        try:
            _bind(host, candidate).close()
        except OSError:
            continue
        return candidate
    return None


def address_of(listener: socket.socket) -> str:
    """What to write into a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready, and ends quietly on a signal once all is answered."""

    def __init__(
        self,
        config: uvicorn.Config,
        announce: Callable[[], None],
        stop: Callable[[], None],
        drain: Drain,
    ):
        super().__init__(config)
        self._announce, self._stop, self._drain = announce, stop, drain
        self._has_told = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._drain.has_begun:
            self._end()
        else:
            self._drain.begin()

    async def on_tick(self, counter: int) -> bool:
        if self._drain.is_over:
            self._end()
        elif self._drain.has_begun and not self._has_told:
            self._has_told = True
            number, seconds = self._drain.in_flight, self._drain.seconds
            what = "1 request" if number == 1 else f"{number} requests"
            print(f"waiting up to {seconds:g} s for {what}; again ends at once", file=sys.stderr)
        return await super().on_tick(counter)

    def _end(self) -> None:
        """Give up what still runs, so that its connections can close."""
        self._stop()
        # What is cut off from here on is meant, and no error to tell of.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Unlike the original, does not raise the signal again at the end: this is a normal end.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(one, self.handle_exit) for one in signals]
        try:
            yield
        finally:
            for one, handler in zip(signals, before, strict=True):
                signal.signal(one, handler)
