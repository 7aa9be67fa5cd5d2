"""Listens on a port of this machine until it is told to stop."""

from __future__ import annotations

import errno
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from modelwright.core.artifact import MANIFEST, read_manifest
from modelwright.core.errors import UsageError, from_os_error
from modelwright.data.feedback.table import FeedbackTable
from modelwright.inference.background import BackgroundEngine
from modelwright.inference.engine import Engine
from modelwright.inference.threads import use_decoding_threads
from modelwright.serving.access.keys import KeyFile
from modelwright.serving.access.origin_guard import is_loopback
from modelwright.serving.app import create_app

_PORTS_TO_TRY = 100
_GRACE_SECONDS = 5


def serve(
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    name: str | None = None,
    keys: KeyFile | None = None,
    feedback: FeedbackTable | None = None,
    open_browser: bool = False,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a model until Ctrl-C or SIGTERM.

    Parameters
    ----------
    folder : Path
        A model folder.
    host : str
        Where it is reached; with keys this may be another than a loopback name or address.
    port : int
        Where to listen; 0 takes any free port.
    name : str, optional
        What clients call the model; by default the folder's name.
    keys : KeyFile, optional
        Who may use it; without, everybody on this machine.
    feedback : FeedbackTable, optional
        Where it is kept what people think of answers.
    open_browser : bool
        Whether to open the chat page.
    ready : callable, optional
        Called with the address once the server answers.

    Raises
    ------
    UsageError
        If the host is not this machine's own and there are no keys, or the port is in use.
    InputError
        If the folder holds no usable model.
    """
    if keys is not None and not keys.keys():
        raise UsageError(
            "there is no key yet, so nobody could come in",
            where=keys.path,
            fix=f"make one with 'modelwright keys create NAME --file {keys.path}'",
        )
    with listen(host, port, has_keys=keys is not None) as listener:
        engine = load_engine(folder)
        name = name or folder.resolve().name
        address = address_of(listener)
        with BackgroundEngine(engine) as background:
            app = create_app(
                background,
                name,
                is_chat_model=is_chat_model(folder),
                keys=keys,
                feedback=feedback,
            )

            def announce() -> None:
                print(f"{name} answers at {address} (chat page and API; Ctrl-C stops)", flush=True)
                if open_browser:
                    webbrowser.open(address)
                if ready is not None:
                    ready(address)

            run_app(app, listener, announce, background.stop)


def run_app(
    app: ASGIApp, listener: socket.socket, announce: Callable[[], None], stop: Callable[[], None]
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
        Called when the end is asked for, from a signal handler; must return at once.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    _Server(config, announce, stop).run(sockets=[listener])


def load_engine(folder: Path) -> Engine:
    """Load a model to answer people with, on as many threads as suit it."""
    use_decoding_threads(folder)
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
    """Uvicorn that says when it is ready, and ends quietly on a signal."""

    def __init__(
        self, config: uvicorn.Config, announce: Callable[[], None], stop: Callable[[], None]
    ):
        super().__init__(config)
        self._announce, self._stop = announce, stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Running generations end here, so that their connections can close.
        self._stop()
        super().handle_exit(sig, frame)

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
