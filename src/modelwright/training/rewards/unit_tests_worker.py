"""A process that runs code against tests, each time in a fork of its own that can only compute.

It holds what Python loads, so that a fork costs milliseconds, and runs nothing itself. The fork
gives up files, network and other processes (``core/processes/system_calls.py``), then runs the code
and says after each test whether it passed. What it says counts only with a word that the code is
not told: leaving early, printing and closing files passes no test. Code and tests share one
interpreter all the same: code that is written to deceive (an object that is equal to everything)
can.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import math
import os
import random
import secrets
import select
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from modelwright.core.processes.frames import read_frame, write_frame
from modelwright.core.processes.limits import address_space, confine, set_limit
from modelwright.core.processes.streams import take_streams
from modelwright.core.processes.system_calls import only_compute

OPEN_FILES = 64
VERDICTS = 3
"""The descriptor on which a fork says what passed."""
MAX_VERDICT_BYTES = 1 << 20
PR_SET_PDEATHSIG = 1  # linux/prctl.h

PRELOADED = (
    "bisect",
    "collections",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "math",
    "operator",
    "random",
    "re",
    "statistics",
    "string",
    "typing",
)
"""What answers often import."""

_write = os.write  # taken before the code that runs here can put something else in its place


@dataclass(frozen=True)
class Allowance:
    """What the code and its tests may take besides Python, and whether it may only compute."""

    cpu_seconds: float
    wall_seconds: float
    memory_bytes: int
    confined: bool


def main() -> None:
    """Serve until the input ends, as it does when the parent dies."""
    tasks, answers = take_streams()
    os.chdir("/")
    for name in PRELOADED:
        importlib.import_module(name)
    while (frame := read_frame(tasks)) is not None:
        answer = run_apart(json.loads(frame[1]), Allowance(**frame[0]))
        write_frame(answers, {**answer, "last": False}, b"")


def run_apart(program: dict[str, Any], allowance: Allowance) -> dict[str, Any]:
    """Run a program's tests in a fork.

    Returns
    -------
    dict
        ``passed``: for each test that was run, whether it passed; or ``refused``: why the fork
        could not be confined.
    """
    word = secrets.token_hex(16)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _be_fork(program, allowance, writing, word)
        finally:
            os._exit(0)
    os.close(writing)
    try:
        said = _listen(reading, time.monotonic() + allowance.wall_seconds)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    lines = [line.removeprefix(word) for line in said.split("\n") if line.startswith(word)]
    refused = [line.removeprefix(" refused ") for line in lines if line.startswith(" refused ")]
    if refused:
        return {"refused": refused[0]}
    return {"passed": [line == " passed" for line in lines]}


def _be_fork(program: dict[str, Any], allowance: Allowance, verdicts: int, word: str) -> None:
    os.dup2(verdicts, VERDICTS)
    os.closerange(VERDICTS + 1, OPEN_FILES)  # the worker itself has a handful open
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    confine(address_space() + allowance.memory_bytes, OPEN_FILES, for_good=True)
    set_limit("RLIMIT_CPU", math.ceil(allowance.cpu_seconds), for_good=True)
    try:
        if allowance.confined:
            only_compute()
        else:
            set_limit("RLIMIT_NPROC", 0, for_good=True)
    except OSError as error:
        _write(VERDICTS, f"{word} refused {error}\n".encode())
        return
    random.seed(0)  # Python has drawn another seed for the fork; all are to begin alike
    for passed in _results(program):
        _write(VERDICTS, f"{word} {'passed' if passed else 'failed'}\n".encode())


def _results(program: dict[str, Any]) -> Iterator[bool]:
    """Whether each test passes; none if the code itself fails."""
    module = ModuleType("answer")
    sys.modules["answer"] = module  # dataclasses and pickle look for it
    try:
        _execute(program["code"], module)
    except BaseException:  # noqa: BLE001  (also SystemExit)
        return
    for test in program["tests"]:
        try:
            _execute(test, module)
        except BaseException:  # noqa: BLE001  (also SystemExit)
            yield False
        else:
            yield True


def _execute(source: str, module: ModuleType) -> None:
    exec(compile(source, "<answer>", "exec", dont_inherit=True), module.__dict__)


def _listen(reading: int, deadline: float) -> str:
    """What the fork says until it ends, its time is up, or it is too much."""
    said = b""
    while len(said) < MAX_VERDICT_BYTES:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            break
        piece = os.read(reading, 1 << 16)
        if not piece:
            break
        said += piece
    return said.decode(errors="replace")


if __name__ == "__main__":
    main()
