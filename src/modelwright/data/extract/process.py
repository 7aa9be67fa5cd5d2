"""One worker process as its parent sees it: handing it documents, watching it, ending it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

import psutil

from modelwright.data.extract.extracted import Extracted
from modelwright.data.extract.frames import (
    OUT_OF_MEMORY,
    BrokenFrameError,
    read_frame,
    write_frame,
)

TOO_MUCH_MEMORY = "took too much memory"
TOO_LONG = "took too long"
CRASHED = "crashed the extractor"

BUSY_PATIENCE = 10
"""How many times its limit by the clock a worker may take that is at work."""
UNCAUGHT_ERROR = 1
"""Exit code of a Python program that an exception ended."""

_WORKER_MODULE = "modelwright.data.extract.worker"
_KEPT_VARIABLES = ("SYSTEMROOT", "LD_LIBRARY_PATH")

NO_SIGNAL = 1 << 40
"""Stands for signals that Windows does not have; no exit code is equal to it."""
_SIGALRM, _SIGXCPU, _SIGKILL = (
    int(getattr(signal, name, 0)) or NO_SIGNAL for name in ("SIGALRM", "SIGXCPU", "SIGKILL")
)
_AT_WORK = (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP)


class LostError(Exception):
    """A worker ended before it answered; ``fair`` if a fresh one would not do better."""

    def __init__(self, reason: str, fair: bool):
        super().__init__(reason)
        self.reason = reason
        self.fair = fair


class WorkerProcess:
    """A process that extracts one document after another, until one takes it along.

    Parameters
    ----------
    memory_bytes : int
        Address space it may take.

    Attributes
    ----------
    is_usable : bool
        Whether it can be asked once more.
    """

    def __init__(self, memory_bytes: int):
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _WORKER_MODULE, str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for the parent
        )
        self._max_body = memory_bytes
        self._overdue = False
        self.is_usable = True

    def ask(self, header: dict[str, Any], raw: bytes, wall_seconds: float) -> Extracted | str:
        """Hand over a document; wait for what it gives, or the reason why it gives nothing.

        Raises
        ------
        LostError
            If the process ended, or was ended, instead of answering.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        answered = threading.Event()
        threading.Thread(target=self._watch, args=(answered, wall_seconds), daemon=True).start()
        self.is_usable = False
        try:
            header = {**header, "alarm_seconds": wall_seconds * BUSY_PATIENCE}
            write_frame(self._process.stdin, header, raw)
            answer, text = read_frame(self._process.stdout, self._max_body) or ({}, b"")
            result = _result(answer, text)
        except (OSError, BrokenFrameError) as error:
            raise self._lost() from error
        finally:
            answered.set()
        if answer.get("last") is False:
            self.is_usable = True
        else:
            self.kill()
        return result

    def kill(self) -> None:
        """End the process, whatever it does, and take its exit code."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what it did not read cannot be flushed
                    pipe.close()

    def _watch(self, answered: threading.Event, wall_seconds: float) -> None:
        """End the process when it is overdue; one at work has a limit of processor time."""
        for _ in range(BUSY_PATIENCE):
            if answered.wait(wall_seconds):
                return
            if not self._is_at_work():
                break
        self._overdue = True
        self._process.kill()

    def _is_at_work(self) -> bool:
        try:
            return psutil.Process(self._process.pid).status() in _AT_WORK
        except psutil.Error:
            return False

    def _lost(self) -> LostError:
        """Say why the process ended; it has closed its output or sent nonsense."""
        try:
            code: int | None = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            code = None
        self.kill()
        if self._overdue or code == -_SIGALRM:
            return LostError(TOO_LONG, fair=False)
        if code == -_SIGXCPU:
            return LostError(TOO_LONG, fair=True)
        if code in (OUT_OF_MEMORY, -_SIGKILL):  # the latter by the kernel: the machine has no more
            return LostError(TOO_MUCH_MEMORY, fair=False)
        return LostError(CRASHED, fair=code == UNCAUGHT_ERROR)


def _result(answer: dict[str, Any], text: bytes) -> Extracted | str:
    """Check what a worker sent; it has read untrusted bytes, so it is not trusted either."""
    match answer:
        case {"reason": str(reason)}:
            return reason
        case {
            "title": str(title),
            "replaced": int(replaced),
            "licence": str(licence),
            "licence_from": str(licence_from),
        }:
            try:
                return Extracted(text.decode(), title, replaced, licence, licence_from)
            except UnicodeDecodeError as error:
                raise BrokenFrameError("no UTF-8") from error
        case _:
            raise BrokenFrameError("no answer")


def _environment() -> dict[str, str]:
    """Nothing of the user's: no secrets, and the same order of sets in every run."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {
        **kept,
        "PYTHONPATH": path,
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "TZ": "UTC",
    }
