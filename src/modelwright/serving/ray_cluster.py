"""A cluster of Ray: one of our own that ends with us, whatever happens, or one that is there."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from modelwright.core.errors import ModelwrightError, UsageError
from modelwright.core.machine import available_cores

CONNECT_SECONDS = 5.0
END_SECONDS = 3.0
TOKEN = "RAY_AUTH_TOKEN"
ADDRESS = re.compile(r"auto|(ray://)?(?P<host>[^/\s]+):(?P<port>\d{1,5})")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """A connection to a cluster; gives Ray Serve.

    Parameters
    ----------
    address : str or None
        Of the cluster; None starts one on this machine, of which no process and no file outlives
        the block.

    Raises
    ------
    UsageError
        If Ray is not installed, or the cluster is not there or does not take us.
    ModelwrightError
        If it does not start.
    """
    is_own = address is None
    if address is not None:
        _check_reachable(address)
    token = secrets.token_hex(32) if is_own else None
    os.environ |= _environment(token)
    try:
        import ray
        from ray import serve as ray_serve
        from ray.exceptions import RayError
    except ImportError:
        raise UsageError(
            "Ray Serve is not installed", fix="pip install 'modelwright[ray]'"
        ) from None
    started = list[psutil.Process]()

    def start(where: dict[str, Any]) -> None:
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
    with ExitStack() as stack:
        try:
            where = _own(stack.enter_context(_private_folder())) if is_own else {"address": address}
            thread = stack.enter_context(ThreadPoolExecutor(1, "ray"))
            stack.callback(lambda: thread.submit(end).result())
            thread.submit(start, where).result()
        except (OSError, ValueError, RuntimeError, RayError) as error:
            raise _start_error(address, str(error)) from None
        yield ray_serve


def _own(folder: Path) -> dict[str, Any]:
    """How a cluster of our own is started."""
    return {
        "address": "local",
        "num_cpus": available_cores(),
        "include_dashboard": False,
        "_temp_dir": str(folder),
    }


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Where Ray keeps its files of log, which have what the replicas write; removed at the end."""
    usual = "/tmp" if os.name == "posix" else tempfile.gettempdir()  # names of sockets are short
    outer = Path(tempfile.mkdtemp(prefix="ray-", dir=os.environ.get("RAY_TMPDIR") or usual))
    try:
        yield outer / "ray"  # Ray opens the folder that it is given to everybody
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def _start_error(address: str | None, said: str) -> ModelwrightError:
    """Of a cluster that does not start, or one that does not take us."""
    said = " ".join(said.split())[:200]
    if address is not None:
        return UsageError(
            f"the Ray cluster cannot be used: {said}",
            where=address,
            fix="use the Ray and the Python that it runs; if it wants a token, set "
            f"RAY_AUTH_MODE=token and {TOKEN}",
        )
    if "AF_UNIX path length" in said:
        return UsageError(
            "the path of the temporary folder is too long for Ray",
            where=os.environ.get("RAY_TMPDIR"),
            fix="name a shorter one with RAY_TMPDIR",
        )
    return ModelwrightError(f"Ray does not start: {said}")


def _check_reachable(address: str) -> None:
    """Raise UsageError at once where nobody listens, for which Ray waits minutes."""
    parts = ADDRESS.fullmatch(address)
    if parts is None:
        raise UsageError(
            f"'{address}' is no address of a Ray cluster",
            fix="give --ray-address HOST:PORT, ray://HOST:PORT, or auto for one on this machine",
        )
    if parts["host"] is None:
        return
    host = parts["host"].removeprefix("[").removesuffix("]")
    try:
        socket.create_connection((host, int(parts["port"])), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:  # also of a name that is none
        raise UsageError(
            f"there is no Ray cluster to be reached: {error}",
            where=address,
            fix="give the address of one that runs with --ray-address, or leave it out",
        ) from None


def _environment(token: str | None) -> dict[str, str]:
    """What Ray reads when it is imported: nobody is told that it is used, and nobody else uses it.

    The processes of a cluster listen on all addresses of their machine.
    """
    found = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "RAY_SCHEDULER_EVENTS": "0",  # they would go to standard output
    }
    if not sys.stderr.isatty():
        found["RAY_COLOR_PREFIX"] = "0"
    if token is not None:
        found |= {"RAY_AUTH_MODE": "token", TOKEN: token}
        # Figures of the cluster, which are given to everybody. These two have no switch, but no
        # server where there is no such port.
        found["RAY_enable_metrics_collection"] = "0"
        found |= {"AUTOSCALER_METRIC_PORT": "-1", "DASHBOARD_METRIC_PORT": "-1"}
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
