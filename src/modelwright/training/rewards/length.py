"""Rewards of the length of an answer."""

from __future__ import annotations

from typing import Literal

from modelwright.core.errors import InputError
from modelwright.training.rewards.reward import Reward, Sample, described, each
from modelwright.training.rewards.settings import LengthReward, OverlongReward


def length(settings: LengthReward) -> Reward:
    """Minus the distance from the target in tolerances, at least -1."""
    tolerance = settings.tolerance or settings.target

    def judge(sample: Sample) -> float:
        return -min(1.0, abs(_length(sample, settings.unit) - settings.target) / tolerance)

    return each(judge)


def overlong(settings: OverlongReward) -> Reward:
    """The soft overlong punishment of DAPO (Yu et al. 2025, arXiv:2503.14476, equation 13).

    With limit L and margin c, a length n gives 0 up to L - c, ((L - c) - n) / c up to L, -1 beyond.
    """
    begin = settings.limit - settings.margin

    def judge(sample: Sample) -> float:
        excess = max(0, _length(sample, settings.unit) - begin)
        return -min(1.0, excess / settings.margin)

    return each(judge)


def _length(sample: Sample, unit: Literal["tokens", "characters"]) -> int:
    if unit == "characters":
        return len(sample.completion)
    if sample.tokens is None:
        raise InputError(
            "how many tokens the answer has is not known",
            where=described(sample),
            fix="set the reward's 'unit' to characters",
        )
    return sample.tokens
