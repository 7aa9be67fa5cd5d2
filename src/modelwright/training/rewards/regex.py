"""The reward of an answer that a regular expression matches."""

from __future__ import annotations

import re

from modelwright.training.rewards.reward import Reward, Sample, each
from modelwright.training.rewards.settings import RegexReward


def regex(settings: RegexReward) -> Reward:
    """1 if the expression matches somewhere in the answer, or all of it, else 0."""
    pattern = re.compile(settings.pattern)
    match = pattern.fullmatch if settings.whole else pattern.search

    def judge(sample: Sample) -> float:
        return float(match(sample.completion) is not None)

    return each(judge)
