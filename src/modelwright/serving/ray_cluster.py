"""A cluster of Ray: one of our own that ends with us, whatever happens, or one that is there."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from modelwright.core.errors import ModelwrightError, UsageError
from modelwright.core.machine import available_cores

CONNECT_SECONDS = 5.0
END_SECONDS = 3.0
TOKEN = "RAY_AUTH_TOKEN"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """A connection to a cluster; gives Ray Serve.

    Parameters
    ----------
    address : str or None
        Of the cluster; None starts one on this machine, of which no process outlives the block.

    Raises
    ------
    UsageError
        If Ray is not installed, or the cluster is not there.
    ModelwrightError
        If it does not start.
    """
    is_own = address is None
    token = secrets.token_hex(32) if is_own else None
    os.environ |= _environment(token)
    try:
        import ray
        from ray import serve as ray_serve
    except ImportError:
        raise UsageError(
            "Ray Serve is not installed", fix="pip install 'modelwright[ray]'"
        ) from None
    where: dict[str, Any] = {"address": address}
    if is_own:
        where = {"address": "local", "num_cpus": available_cores(), "include_dashboard": False}
    started = list[psutil.Process]()

    def start() -> None:
        try:
            ray.init(**where, logging_level=logging.ERROR, log_to_driver=True)
        finally:
            if is_own:
                started.extend(psutil.Process().children())
                del os.environ[TOKEN]  # what else is started here, as a browser, has no use for it

    def end() -> None:
        processes = set(_with_descendants(started))
        ray.shutdown()
        # It gives each a second; what a killed one had started, or was about to start, would go on
        # for a minute.
        processes |= set() if token is None else _with_token(token)
        _, alive = psutil.wait_procs(processes, END_SECONDS)
        _kill(alive)

    # A thread of its own, where Ray takes over no signal and nothing interrupts it: half a start
    # cannot be undone. It lives as long as the cluster, as Linux ends processes with the thread
    # that started them.
    with ThreadPoolExecutor(1, "ray") as thread:
        try:
            try:
                _check_reachable(address)
                thread.submit(start).result()
            except (OSError, ValueError, RuntimeError) as error:
                said = " ".join(str(error).split())[:200]
                if is_own:
                    raise ModelwrightError(f"Ray does not start: {said}") from None
                raise UsageError(
                    f"there is no Ray cluster to be reached: {said}",
                    where=address,
                    fix="give the address of one that runs with --ray-address, or leave it out",
                ) from None
            yield ray_serve
        finally:
            thread.submit(end).result()


def _check_reachable(address: str | None) -> None:
    """Raise OSError at once where nobody listens, for which Ray waits minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


def _environment(token: str | None) -> dict[str, str]:
    """What Ray reads when it is imported: nobody is told that it is used, and nobody else uses it.

    The processes of a cluster listen on all addresses of their machine.
    """
    found = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
    if not sys.stderr.isatty():
        found["RAY_COLOR_PREFIX"] = "0"
    if token is not None:
        found |= {"RAY_AUTH_MODE": "token", TOKEN: token}
        # Of its own accord Ray lets all other programs go first, for minutes on a busy machine.
        found["RAY_worker_niceness"] = "0"
    return found


def _with_descendants(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    found = list[psutil.Process]()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found += [process, *process.children(recursive=True)]
    return found


def _with_token(token: str) -> set[psutil.Process]:
    found = psutil.process_iter(["environ"])
    return {one for one in found if (one.info["environ"] or {}).get(TOKEN) == token}


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


class Interrupts:
    """Ctrl-C and SIGTERM: they interrupt the start; once all answers, they are counted.

    A second one during the start ends the process, and what it started, at once. A start that
    SIGTERM interrupted ends as the signal ends other programs, after what was to be cleaned up.

    Attributes
    ----------
    count : int
        How many there were.
    """

    def __init__(self) -> None:
        self.count = 0
        self._has_started = False
        self._interrupted_by: int | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Within the block, signals come here."""
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self.catch()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self._interrupted_by == signal.SIGTERM:
                signal.raise_signal(signal.SIGTERM)

    def catch(self) -> None:
        """Have signals come here; to be done again once Ray runs, which has put itself between."""
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def start_is_over(self) -> None:
        """From now on signals are only counted."""
        self._has_started = True

    def _handle(self, number: int, _: Any) -> None:
        self.count += 1
        if hasattr(signal, "alarm"):
            signal.alarm(0)  # what Ray has put between would end the process in three seconds
        if self._has_started:
            return
        if self.count == 1:
            self._interrupted_by = number
            raise KeyboardInterrupt
        _kill(psutil.Process().children(recursive=True))
        os._exit(128 + number)
