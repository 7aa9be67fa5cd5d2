"""One worker process as its parent sees it: asking it, watching it, ending it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, Literal, TypeVar

import psutil

from modelwright.core.processes.frames import (
    OUT_OF_MEMORY,
    BrokenFrameError,
    read_frame,
    write_frame,
)

UNCAUGHT_ERROR = 1
"""Exit code of a Python program that an exception ended."""
LAST_BYTES = 4000
"""How much is kept of what a worker prints."""

_KEPT_VARIABLES = ("SYSTEMROOT", "LD_LIBRARY_PATH")

NO_SIGNAL = 1 << 40
"""Stands for signals that Windows does not have; no exit code is equal to it."""
_SIGALRM, _SIGXCPU, _SIGKILL = (
    int(getattr(signal, name, 0)) or NO_SIGNAL for name in ("SIGALRM", "SIGXCPU", "SIGKILL")
)
_AT_WORK = (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP)

Answer = TypeVar("Answer")
Loss = Literal["time", "memory", "crash"]


class LostError(Exception):
    """A worker ended before it answered.

    Attributes
    ----------
    how : {"time", "memory", "crash"}
        What it ended of.
    fair : bool
        Whether a fresh one would not do better.
    exit_code : int or None
        Of the process, negative for a signal; None if it did not end by itself.
    """

    def __init__(self, how: Loss, *, fair: bool, exit_code: int | None):
        super().__init__(how)
        self.how = how
        self.fair = fair
        self.exit_code = exit_code


class WorkerProcess:
    """A Python process that is asked one thing after another, until one takes it along.

    Parameters
    ----------
    module : str
        Run with ``python -m``. It reads frames from its standard input and answers each on its
        standard output; ``"last": false`` in the answer's header says that it goes on.
    arguments : sequence of str
        Of its command line.
    environment : mapping of str to str
        All that it sees.
    max_body : int
        Bytes of the longest answer that is read.
    keeps_output : bool
        Whether the end of what it prints on standard error is kept, for messages.

    Attributes
    ----------
    is_usable : bool
        Whether it can be asked once more.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        environment: Mapping[str, str],
        max_body: int,
        keeps_output: bool = False,
    ):
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if keeps_output else subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C is for the parent
        )
        self._max_body = max_body
        self._overdue = False
        self._printed = b""
        self.is_usable = True
        self._reading: threading.Thread | None = None
        if self._process.stderr is not None:
            self._reading = threading.Thread(
                target=self._keep_output, args=(self._process.stderr,), daemon=True
            )
            self._reading.start()

    @property
    def printed(self) -> str:
        """The end of what it printed."""
        return self._printed.decode(errors="replace")

    def ask(
        self,
        header: dict[str, Any],
        body: bytes,
        wall_seconds: float,
        read: Callable[[dict[str, Any], bytes], Answer],
        *,
        patience: int = 1,
    ) -> Answer:
        """Ask one thing and wait for the answer.

        Parameters
        ----------
        header, body : dict, bytes
            What is asked.
        wall_seconds : float
            How long it may take by the clock.
        read : callable
            Makes the result of an answer's header and body; raises BrokenFrameError if they cannot
            be one: a worker is not trusted.
        patience : int
            How many times as long a worker may take that is seen at work.

        Raises
        ------
        LostError
            If the process ended, or was ended, instead of answering.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        answered = threading.Event()
        watching = (answered, wall_seconds, patience)
        threading.Thread(target=self._watch, args=watching, daemon=True).start()
        self.is_usable = False
        try:
            write_frame(self._process.stdin, header, body)
            answer, answer_body = read_frame(self._process.stdout, self._max_body) or ({}, b"")
            result = read(answer, answer_body)
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
        """End the process and those it started, whatever they do, and take its exit code."""
        self._end()
        self._process.wait()
        if self._reading is not None:
            self._reading.join(timeout=1)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what it did not read cannot be flushed
                    pipe.close()

    def _watch(self, answered: threading.Event, wall_seconds: float, patience: int) -> None:
        """End the process when it is overdue; one at work has a limit of processor time."""
        for _ in range(patience):
            if answered.wait(wall_seconds):
                return
            if not self._is_at_work():
                break
        self._overdue = True
        self._end()

    def _end(self) -> None:
        if self._process.returncode is not None:  # its number may be another's by now
            return
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()

    def _is_at_work(self) -> bool:
        try:
            return psutil.Process(self._process.pid).status() in _AT_WORK
        except psutil.Error:
            return False

    def _keep_output(self, pipe: IO[bytes]) -> None:
        with pipe:
            while piece := os.read(pipe.fileno(), LAST_BYTES):
                self._printed = (self._printed + piece)[-LAST_BYTES:]

    def _lost(self) -> LostError:
        """Say why the process ended; it has closed its output or sent nonsense."""
        try:
            code: int | None = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            code = None
        self.kill()
        if self._overdue or code == -_SIGALRM:
            return LostError("time", fair=False, exit_code=code)
        if code == -_SIGXCPU:
            return LostError("time", fair=True, exit_code=code)
        if code in (OUT_OF_MEMORY, -_SIGKILL):  # the latter by the kernel: the machine has no more
            return LostError("memory", fair=False, exit_code=code)
        return LostError("crash", fair=code == UNCAUGHT_ERROR, exit_code=code)


def bare_environment() -> dict[str, str]:
    """Nothing of the user's: no secrets, and the same order of sets in every run."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": python_path(),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "TZ": "UTC",
    }


def python_path() -> str:
    """Where this process finds its modules, for one that shall find the same."""
    return os.pathsep.join(entry or os.getcwd() for entry in sys.path)
