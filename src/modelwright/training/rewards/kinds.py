"""Rewards that are worked out in the process that asks for them."""

from __future__ import annotations

from pathlib import Path

from modelwright.training.rewards.exact_match import exact_match
from modelwright.training.rewards.format import form
from modelwright.training.rewards.length import length, overlong
from modelwright.training.rewards.python import load_function
from modelwright.training.rewards.regex import regex
from modelwright.training.rewards.reward import Reward
from modelwright.training.rewards.settings import (
    ExactMatchReward,
    FormatReward,
    LengthReward,
    OverlongReward,
    PythonReward,
    RegexReward,
)

LocalReward = (
    ExactMatchReward | RegexReward | LengthReward | OverlongReward | FormatReward | PythonReward
)


def local_reward(settings: LocalReward, folder: Path) -> Reward:
    """The function that the settings describe; paths are relative to the folder."""
    match settings:
        case ExactMatchReward():
            return exact_match(settings)
        case RegexReward():
            return regex(settings)
        case LengthReward():
            return length(settings)
        case OverlongReward():
            return overlong(settings)
        case FormatReward():
            return form(settings)
        case PythonReward():
            return load_function(settings, folder)


def can_hang(settings: LocalReward) -> bool:
    """Whether a reward runs what a user wrote and we cannot bound: a function, an expression.

    Some regular expressions take time that is exponential in the length of the text.
    """
    match settings:
        case PythonReward() | RegexReward():
            return True
        case ExactMatchReward():
            return settings.pattern is not None
        case _:
            return False
