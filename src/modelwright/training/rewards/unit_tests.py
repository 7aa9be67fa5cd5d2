"""The reward of Python code that passes its tests; the code runs in ``unit_tests_worker.py``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from modelwright.core.errors import UsageError
from modelwright.core.machine import available_cores
from modelwright.core.processes.frames import BrokenFrameError
from modelwright.core.processes.pool import WorkerPool
from modelwright.core.processes.process import LostError, WorkerProcess, bare_environment
from modelwright.core.processes.system_calls import can_confine
from modelwright.training.rewards.reward import (
    RewardError,
    Sample,
    Value,
    attempt,
    described,
    field_error,
    text_field,
)
from modelwright.training.rewards.settings import UnitTestsReward
from modelwright.training.rewards.template import fill

WALL_FACTOR = 4
"""Seconds by the clock for a second of processor time: for code that sleeps, and busy machines."""
GRACE_SECONDS = 30.0
"""How much longer the process is left that starts the tests and ends them."""
MAX_ANSWER_BYTES = 1 << 20

_WORKER_MODULE = "modelwright.training.rewards.unit_tests_worker"
_FENCE = re.compile(r"\s*(```+|~~~+)[ \t]*([\w+-]*)")
_PYTHON = ("", "python", "python3", "py")


class UnitTests:
    """A reward that runs answers against their rows' tests, as many at a time as there are cores.

    Parameters
    ----------
    settings : UnitTestsReward
        What to run and what it may take.

    Raises
    ------
    UsageError
        If code cannot be kept from files, network and other processes here.
    """

    def __init__(self, settings: UnitTestsReward):
        self._settings = settings
        if not hasattr(os, "fork"):
            raise UsageError("unit tests cannot be run on this system: it has no fork")
        if not (settings.unconfined or can_confine()):
            raise _not_confined("it can be done on Linux, on x86-64 or 64-bit ARM")
        self._pool = WorkerPool(available_cores(), self._start, "unit-tests")
        try:
            self._run({"code": "", "tests": []}, "the reward 'unit_tests'")
        except BaseException:
            self.close()
            raise

    def __call__(self, samples: Sequence[Sample]) -> list[Value]:
        """1 or 0 for each, or the share of its tests that pass."""
        return list(self._pool.threads.map(partial(attempt, self._judge), samples))

    def close(self) -> None:
        """End the processes."""
        self._pool.close()

    def _judge(self, sample: Sample) -> float:
        program = program_of(self._settings, sample)
        passed = self._run(program, described(sample))
        if self._settings.partial:
            return sum(passed) / len(program["tests"])
        return float(len(passed) == len(program["tests"]) and all(passed))

    def _run(self, program: dict[str, Any], where: str) -> list[bool]:
        """Which tests passed, as far as they were run."""
        seconds = self._settings.seconds
        header = {
            "cpu_seconds": seconds,
            "wall_seconds": WALL_FACTOR * seconds,
            "memory_bytes": self._settings.memory_mb * 1_000_000,
            "confined": not self._settings.unconfined,
        }
        body = json.dumps(program).encode()
        try:
            with self._pool.worker() as worker:
                answer = worker.ask(header, body, WALL_FACTOR * seconds + GRACE_SECONDS, _read)
        except LostError as lost:
            raise RewardError(
                f"the process that runs unit tests ended ({lost.how})",
                where=where,
                fix="look whether the machine has run out of memory or processes",
            ) from None
        if isinstance(answer, str):
            raise _not_confined(answer)
        return answer

    def _start(self) -> WorkerProcess:
        return WorkerProcess(
            _WORKER_MODULE, environment=bare_environment(), max_body=MAX_ANSWER_BYTES
        )


def program_of(settings: UnitTestsReward, sample: Sample) -> dict[str, Any]:
    """The code and the tests of a sample.

    Raises
    ------
    InputError
        If the row lacks a field.
    """
    before = [text_field(sample, name) for name in settings.before]
    setup = [text_field(sample, name) for name in settings.setup]
    tests = sample.row.get(settings.field)
    if isinstance(tests, str):
        tests = [tests]
    if not isinstance(tests, list) or not tests or not all(isinstance(one, str) for one in tests):
        raise field_error(sample, settings.field, "is neither a text nor a list of texts")
    after = "" if settings.after is None else fill(settings.after, sample)
    return {
        "code": "\n".join([*before, code_in(sample.completion), *setup]),
        "tests": [f"{test}\n{after}" for test in tests],
    }


def code_in(completion: str) -> str:
    """The last fenced block of Python in an answer, or all of it if there is none."""
    blocks = list[str]()
    fence, language, lines = "", "", list[str]()
    for line in completion.splitlines(keepends=True):
        match = _FENCE.match(line)
        if not fence and match:
            fence, language, lines = match[1], match[2].lower(), []
        elif fence and line.strip() == fence:
            if language in _PYTHON:
                blocks.append("".join(lines))
            fence = ""
        elif fence:
            lines.append(line)
    if fence and language in _PYTHON:  # cut off
        blocks.append("".join(lines))
    return blocks[-1] if blocks else completion


def _read(header: dict[str, Any], body: bytes) -> list[bool] | str:
    match header:
        case {"refused": str(reason)}:
            return reason
        case {"passed": list(passed)} if all(isinstance(one, bool) for one in passed):
            return passed
        case _:
            raise BrokenFrameError("no answer")


def _not_confined(reason: str) -> UsageError:
    return UsageError(
        f"on this system code cannot be kept from files, network and other processes: {reason}",
        where="the reward 'unit_tests'",
        fix="run on another machine, or set 'unconfined' of the reward if you trust the code",
    )
