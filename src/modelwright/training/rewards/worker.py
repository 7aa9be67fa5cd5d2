"""A process that works out one reward, call after call; ``isolated.py`` starts it.

The first frame holds the reward's settings, each of the others samples. A call that takes too long
is interrupted by a timer, so that the line and the sample can be named; the parent ends the process
if that does not help.
"""

from __future__ import annotations

import pickle
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from pydantic import TypeAdapter

from modelwright.core.errors import ModelwrightError
from modelwright.core.processes.frames import read_frame, write_frame
from modelwright.core.processes.streams import take_streams
from modelwright.training.rewards.kinds import LocalReward, local_reward
from modelwright.training.rewards.python import function_file, place
from modelwright.training.rewards.reward import Reward, RewardError, Sample, Value, checked
from modelwright.training.rewards.settings import PythonReward

LOADED_FIX = "correct the file"
CALLED_FIX = "correct the function; 'on_error: none' counts such samples and leaves them out"


class OverdueError(BaseException):
    """Time is up; no Exception, so that the user's handlers let it through."""


def main() -> None:
    """Open the reward, then answer until the input ends."""
    tasks, answers = take_streams(prints_to_stderr=True)
    frame = read_frame(tasks)
    if frame is None:
        return
    settings: LocalReward = TypeAdapter(LocalReward).validate_python(frame[0]["settings"])
    folder = Path(frame[0]["folder"])
    file = function_file(settings, folder)[0] if isinstance(settings, PythonReward) else None
    try:
        reward = _guarded_load(settings, folder, file)
    except ModelwrightError as error:
        write_frame(answers, {"error": _as_dict(error), "last": True}, b"")
        return
    write_frame(answers, {"values": [], "last": False}, b"")
    while (frame := read_frame(tasks)) is not None:
        samples = pickle.loads(frame[1])
        # A function of the user's may compare samples; ours look at each alone.
        batches = [samples] if file is not None else [[sample] for sample in samples]
        answer = _answer(reward, batches, frame[0]["seconds"], file)
        write_frame(answers, answer, b"")


def _answer(
    reward: Reward, batches: Sequence[Sequence[Sample]], seconds: float, file: Path | None
) -> dict[str, Any]:
    values = list[Value]()
    for samples in batches:
        try:
            values += _called(reward, samples, seconds, file)
        except RewardError as error:
            if file is not None:
                return {"error": _as_dict(error), "last": isinstance(error, _OverdueRewardError)}
            values.append(error)
    shown = [_as_dict(one) if isinstance(one, ModelwrightError) else one for one in values]
    return {"values": shown, "last": False}


class _OverdueRewardError(RewardError):
    """Raised in the middle of a function of the user's, which may have left things half done."""


def _called(
    reward: Reward, samples: Sequence[Sample], seconds: float, file: Path | None
) -> list[Value]:
    name = getattr(reward, "__name__", "the reward")
    try:
        with _alarm(seconds, by_clock=file is not None):
            return checked(reward(samples), samples, f"{file}, function {name}")
    except RewardError:
        raise
    except OverdueError as error:
        raise _OverdueRewardError(
            f"the reward took longer than {seconds:g} seconds and was stopped",
            where=place(error.__traceback__, file, samples),
            fix="make it faster or give it more 'seconds'",
        ) from None
    except BaseException as error:  # noqa: BLE001  (also SystemExit: it is the user's code)
        raise RewardError(
            f"the reward raised {_said(error)}",
            where=place(error.__traceback__, file, samples),
            fix=CALLED_FIX,
        ) from None


def _guarded_load(settings: LocalReward, folder: Path, file: Path | None) -> Reward:
    try:
        return local_reward(settings, folder)
    except ModelwrightError:
        raise
    except BaseException as error:  # noqa: BLE001  (also SystemExit: it is the user's code)
        line = error.lineno if isinstance(error, SyntaxError) else None
        where = f"{file}, line {line}" if line else place(error.__traceback__, file, [])
        raise RewardError(
            f"the file of a reward raised {_said(error)}", where=where, fix=LOADED_FIX
        ) from None


@contextmanager
def _alarm(seconds: float, *, by_clock: bool) -> Iterator[None]:
    """Interrupt what takes longer, also Python's regular expressions; not on Windows.

    A function of the user's may wait for something and is timed by the clock. What only computes
    is timed by the processor, so that a busy machine does not change its values.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return
    timer = signal.ITIMER_REAL if by_clock else signal.ITIMER_PROF
    signal.signal(signal.SIGALRM if by_clock else signal.SIGPROF, _interrupt)
    signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        signal.setitimer(timer, 0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise OverdueError


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  (a __str__ of the user's own)
        return type(error).__name__


def _as_dict(error: ModelwrightError) -> dict[str, str | None]:
    return {"what": error.what, "where": error.where, "fix": error.fix}


if __name__ == "__main__":
    main()
