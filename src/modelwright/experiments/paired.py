"""Comparing two treatments that were run with the same seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""The 97.5 % point of Student's t by degrees of freedom."""

MAX_PAIRS = max(T_975) + 1


@dataclass(frozen=True)
class Comparison:
    """A mean difference and how sure it is.

    Attributes
    ----------
    difference : float
        Mean of second minus first.
    low, high : float or None
        95 % interval of that mean by the paired t-test; None for a single pair.
    """

    difference: float
    low: float | None
    high: float | None

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out zero: the difference exceeds the spread."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def compare_pairs(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Compare measurements pair by pair, which takes out what the pairs have in common.

    Parameters
    ----------
    first, second : sequence of float
        As many each, 1 to 10; entries of one place belong together.

    Raises
    ------
    ValueError
        If they are not as many.
    """
    differences = [b - a for a, b in zip(first, second, strict=True)]
    mean = statistics.fmean(differences)
    if len(differences) == 1:
        return Comparison(mean, None, None)
    spread = statistics.stdev(differences) / math.sqrt(len(differences))
    margin = T_975[len(differences) - 1] * spread
    return Comparison(mean, mean - margin, mean + margin)
