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
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from modelwright.core.errors import UsageError, from_os_error
from modelwright.serving.access.drain import Drain
from modelwright.serving.access.keys import KeyFile
from modelwright.serving.access.origin_guard import is_loopback
from modelwright.serving.access_log import LineWriter
from modelwright.serving.app import create_app
from modelwright.serving.opening import ServeOptions, open_models

_PORTS_TO_TRY = 100
_GRACE_SECONDS = 5


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
    check_keys(options.keys)
    with listen(host, port, has_keys=options.keys is not None) as listener, ExitStack() as stack:
        models = open_models(folders, options, stack)
        drain = Drain(options.drain_seconds)
        form = options.log or ("text" if sys.stderr.isatty() else "json")
        lines = LineWriter(form, options.log_prompts)
        app = create_app(
            models,
            keys=options.keys,
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
        http="h11",  # the same, whatever else is installed
        loop="asyncio",
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    _Server(config, announce, stop, drain or Drain(0)).run(sockets=[listener])


def check_keys(keys: KeyFile | None) -> None:
    """Refuse to serve with keys of which there is none; raises UsageError."""
    if keys is not None and not keys.keys():
        raise UsageError(
            "there is no key yet, so nobody could come in",
            where=keys.path,
            fix=f"make one with 'modelwright keys create NAME --file {keys.path}'",
        )


def check_host(host: str, *, has_keys: bool) -> None:
    """Refuse to serve other machines without keys; raises UsageError."""
    if not (has_keys or is_loopback(host)):
        raise UsageError(
            f"'{host}' can be reached from other machines, and this server has no keys",
            fix="make one with 'modelwright keys create NAME', or serve on 127.0.0.1",
        )


def listen(host: str, port: int, *, has_keys: bool = False) -> socket.socket:
    """A socket that listens on an address.

    Raises
    ------
    UsageError
        If other machines could reach it and there are no keys, or the port is in use.
    """
    check_host(host, has_keys=has_keys)
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
