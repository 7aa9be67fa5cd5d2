"""Intervals, the best of several, tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Share:
    """How many of how many."""

    hits: float
    count: int

    @property
    def value(self) -> float:
        return self.hits / self.count if self.count else math.nan

    def interval(self) -> tuple[float, float]:
        """95 % interval of Wilson (1927): it stays within 0 and 1, for few cases too."""
        if not self.count:
            return math.nan, math.nan
        square = NORMAL_95**2
        middle = (self.hits + square / 2) / (self.count + square)
        half = NORMAL_95 * math.sqrt(
            self.value * (1 - self.value) / self.count + square / (4 * self.count**2)
        )
        half /= 1 + square / self.count
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{self.value:.1%} ({low:.1%} to {high:.1%}, n = {self.count})"


@dataclass(frozen=True)
class Change:
    """A mean difference between two measurements of the same cases."""

    mean: float
    half: float
    """Half of its 95 % interval, from the spread of the differences."""

    @classmethod
    def between(cls, before: Sequence[float], after: Sequence[float]) -> Change:
        """From what was measured before and after, case by case."""
        changes = [late - early for early, late in zip(before, after, strict=True)]
        return cls(mean(changes), NORMAL_95 * stdev(changes) / math.sqrt(len(changes)))

    def __str__(self) -> str:
        low, high = 100 * (self.mean - self.half), 100 * (self.mean + self.half)
        return f"{100 * self.mean:+.1f} ({low:+.1f} to {high:+.1f}) points"


def expected_best(rewards: Sequence[float], n: int) -> float:
    """Mean over all choices of ``n`` of these rewards of the largest of them.

    Unbiased for the expected best of n draws: the i-th smallest of N is the largest in
    C(i - 1, n - 1) of the C(N, n) choices.
    """
    ordered = sorted(rewards)
    ways = math.comb(len(ordered), n)
    return sum(reward * math.comb(i, n - 1) / ways for i, reward in enumerate(ordered))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)
