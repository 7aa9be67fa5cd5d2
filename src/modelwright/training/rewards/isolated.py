"""A reward that is worked out in a process of its own, which is ended if it hangs."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelwright.core.processes.frames import BrokenFrameError
from modelwright.core.processes.process import LostError, WorkerProcess, python_path
from modelwright.training.rewards.kinds import LocalReward
from modelwright.training.rewards.python import function_file
from modelwright.training.rewards.reward import RewardError, Sample, Value, named
from modelwright.training.rewards.settings import PythonReward

OPEN_SECONDS = 120.0
"""How long the user's file may take to load."""
PATTERN_SECONDS = 2.0
"""Processor time that a regular expression may take with one answer."""
BUSY_PATIENCE = 10
"""How many times as long it may take by the clock while its process is at work."""
GRACE_SECONDS = 2.0
"""How much longer a process is left that should have stopped by itself."""
MAX_ANSWER_BYTES = 1 << 20
SHOWN_CHARACTERS = 300

_WORKER_MODULE = "modelwright.training.rewards.worker"


class IsolatedReward:
    """A reward in a process, which is kept from call to call.

    Parameters
    ----------
    settings : LocalReward
        Of the reward.
    folder : Path
        Where relative paths begin.

    Raises
    ------
    ModelwrightError
        If the user's file or function is missing, or raises when it is loaded.
    """

    def __init__(self, settings: LocalReward, folder: Path):
        self._settings = settings
        self._folder = folder.absolute()
        self._name: str = settings.kind
        if isinstance(settings, PythonReward):
            file, function = function_file(settings, folder)
            self._name = f"{file}, function {function}"
        self._worker: WorkerProcess | None = self._start()

    def __call__(self, samples: Sequence[Sample]) -> list[Value]:
        """The values of the samples.

        Raises
        ------
        RewardError
            If the call gave none: it raised, took too long, or ended its process.
        """
        if not samples:
            return []
        if self._worker is None or not self._worker.is_usable:
            self.close()
            self._worker = self._start()
        if isinstance(self._settings, PythonReward):
            each = most = self._settings.seconds
            patience = 1
        else:
            each, most = PATTERN_SECONDS, PATTERN_SECONDS * len(samples)
            patience = BUSY_PATIENCE
        body = pickle.dumps(list(samples))
        answer = self._ask(self._worker, {"seconds": each}, body, most, samples, patience)
        if len(answer) != len(samples):
            raise RewardError("the process of the reward answered nonsense", where=self._name)
        return answer

    def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def _start(self) -> WorkerProcess:
        worker = WorkerProcess(
            _WORKER_MODULE,
            environment={**os.environ, "PYTHONPATH": python_path()},
            max_body=MAX_ANSWER_BYTES,
            keeps_output=True,
        )
        header = {"settings": self._settings.model_dump(), "folder": str(self._folder)}
        try:
            self._ask(worker, header, b"", OPEN_SECONDS, [])
        except BaseException:
            worker.kill()
            raise
        return worker

    def _ask(
        self,
        worker: WorkerProcess,
        header: dict[str, Any],
        body: bytes,
        seconds: float,
        samples: Sequence[Sample],
        patience: int = 1,
    ) -> list[Value]:
        wall_seconds = seconds + GRACE_SECONDS
        try:
            answer = worker.ask(header, body, wall_seconds, _read, patience=patience)
        except LostError as lost:
            raise self._lost(lost, worker, seconds, samples) from None
        if isinstance(answer, RewardError):
            raise answer
        return answer

    def _lost(
        self, lost: LostError, worker: WorkerProcess, seconds: float, samples: Sequence[Sample]
    ) -> RewardError:
        if lost.how == "time":
            what = f"the reward took longer than {seconds:g} seconds, and its process was ended"
            fix = "make it faster or give it more 'seconds'"
        else:
            what = f"the process of the reward ended ({_end(lost)})"
            fix = "correct the function: it must return, and not end its process"
        printed = " ".join(worker.printed.split())[-SHOWN_CHARACTERS:]
        said = f"; it printed last: {printed}" if printed else ""
        given = f"; {len(samples)} samples, {named(samples, 0)}" if samples else ", while loading"
        return RewardError(what + said, where=self._name + given, fix=fix)


def _read(header: dict[str, Any], body: bytes) -> list[Value] | RewardError:
    match header:
        case {"error": dict(error)}:
            return _as_error(error)
        case {"values": list(values)}:
            return [_as_value(value) for value in values]
        case _:
            raise BrokenFrameError("no answer")


def _as_value(value: object) -> Value:
    if isinstance(value, dict):
        return _as_error(value)
    if value is None or isinstance(value, float):
        return value
    raise BrokenFrameError("no value")


def _as_error(said: dict[str, Any]) -> RewardError:
    return RewardError(str(said.get("what")), where=said.get("where"), fix=said.get("fix"))


def _end(lost: LostError) -> str:
    if lost.exit_code is None:
        return "it closed its output"
    if lost.exit_code < 0:
        return f"signal {-lost.exit_code}"
    return f"exit code {lost.exit_code}"
