"""The reward that a function in a user's file gives; runs in a process of its own."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from modelwright.core.errors import InputError
from modelwright.training.rewards.reward import Reward, Sample, described, named
from modelwright.training.rewards.settings import PythonReward

MODULE = "modelwright_user_reward"
"""What the user's file is called among the loaded modules."""


def function_file(settings: PythonReward, folder: Path) -> tuple[Path, str]:
    """The file and the name of the function.

    Raises
    ------
    InputError
        If there is no such file.
    """
    path, _, name = settings.function.rpartition(":")
    file = (folder / path).absolute()
    if not file.is_file():
        raise InputError(
            "the file of a reward is not there", where=file, fix="correct 'function' of the reward"
        )
    return file, name


def load_function(settings: PythonReward, folder: Path) -> Reward:
    """Run the user's file and take the function out of it; what it raises is not caught.

    Raises
    ------
    InputError
        If there is no such file, or no such function in it.
    """
    file, name = function_file(settings, folder)
    sys.path.insert(0, str(file.parent))  # for what it imports
    spec = importlib.util.spec_from_file_location(MODULE, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(
            f"there is no function '{name}'", where=file, fix="correct 'function' of the reward"
        )
    return function  # type: ignore[no-any-return]


def place(traceback: TracebackType | None, file: Path | None, samples: Sequence[Sample]) -> str:
    """Say where in the user's file something happened, and at which sample.

    The sample is the one that a variable of the innermost function held.
    """
    line, held = None, None
    while traceback is not None:
        frame = traceback.tb_frame
        if file is not None and frame.f_code.co_filename == str(file):
            line = f"{file}, line {traceback.tb_lineno}, in {frame.f_code.co_name}"
        values = list(frame.f_locals.values())
        found = [n for n, one in enumerate(samples) if any(one is value for value in values)]
        held = found[0] if len(found) == 1 else held
        traceback = traceback.tb_next
    if len(samples) == 1:
        sample = described(samples[0])
    elif held is None:
        sample = f"one of {len(samples)} samples"
    else:
        sample = named(samples, held)
    return f"{line}; {sample}" if line else sample
