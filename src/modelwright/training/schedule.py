"""Learning-rate schedules as functions of the fraction of the run that is done.

The middle of a step counts, so that neither the first nor the last step is lost to a rate of
zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from modelwright.core.errors import UsageError
from modelwright.training.names import ScheduleName


class Schedule(Protocol):
    """What the loop asks for before each step."""

    def multiplier(self, start: float, end: float) -> float:
        """Factor on the peak learning rates for a step from ``start`` to ``end``, 0 … 1."""
        ...


@dataclass(frozen=True)
class WarmupStableDecay:
    """Linear warm-up, a constant part, and linear decay (Hu et al. 2024, arXiv:2404.06395).

    Attributes
    ----------
    warmup, decay : float
        Fractions of the run for the first and the last part; together at most 1.
    floor : float
        Where decay ends.
    """

    warmup: float
    decay: float
    floor: float = 0.0

    def multiplier(self, start: float, end: float) -> float:
        """Factor on the peak learning rate for a step that goes from ``start`` to ``end``."""
        middle = (start + end) / 2
        falling = min(1.0, (1.0 - middle) / self.decay) if self.decay > 0 else 1.0
        return min(_rising(middle, self.warmup), self.floor + (1.0 - self.floor) * falling)


@dataclass(frozen=True)
class Cosine:
    """Linear warm-up, then half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5).

    Attributes
    ----------
    warmup : float
        Fraction of the run for the first part, less than 1.
    floor : float
        Where the cosine ends.
    """

    warmup: float
    floor: float = 0.0

    def multiplier(self, start: float, end: float) -> float:
        """Factor on the peak learning rate for a step that goes from ``start`` to ``end``."""
        middle = (start + end) / 2
        done = min(1.0, max(0.0, (middle - self.warmup) / (1.0 - self.warmup)))
        falling = (1.0 + math.cos(math.pi * done)) / 2
        return min(_rising(middle, self.warmup), self.floor + (1.0 - self.floor) * falling)


def schedule(name: ScheduleName, warmup: float, decay: float, floor: float = 0.0) -> Schedule:
    """The schedule of that name.

    Parameters
    ----------
    name : {"wsd", "cosine", "linear", "constant"}
        ``linear`` falls from the end of the warm-up on, ``constant`` never.
    warmup, decay : float
        Fractions of the run; only ``wsd`` uses ``decay``.
    floor : float
        Factor at the end, 0 … 1.

    Raises
    ------
    UsageError
        If fractions and floor make no schedule.
    """
    if not (0 <= warmup < 1 and 0 <= decay <= 1 and 0 <= floor <= 1):
        raise UsageError(
            f"warm-up {warmup:g}, decay {decay:g} and floor {floor:g} make no schedule",
            fix="give fractions of the run between 0 and 1",
        )
    if name == "wsd" and warmup + decay > 1 + 1e-9:
        raise UsageError(
            f"a warm-up of {warmup:g} and a decay of {decay:g} are longer than the run",
            fix="make them 1 or less together",
        )
    match name:
        case "wsd":
            return WarmupStableDecay(warmup, decay, floor)
        case "cosine":
            return Cosine(warmup, floor)
        case "linear":
            return WarmupStableDecay(warmup, 1.0 - warmup, floor)
        case "constant":
            return WarmupStableDecay(warmup, 0.0)


def _rising(middle: float, warmup: float) -> float:
    return min(1.0, middle / warmup) if warmup > 0 else 1.0
