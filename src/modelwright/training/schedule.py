"""Learning-rate schedules as functions of the fraction of the run that is done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WarmupStableDecay:
    """Linear warm-up, a constant part, and linear decay to zero (Hu et al. 2024, arXiv:2404.06395).

    Attributes
    ----------
    warmup, decay : float
        Fractions of the run for the first and the last part; together at most 1.
    """

    warmup: float
    decay: float

    def multiplier(self, start: float, end: float) -> float:
        """Factor on the peak learning rate for a step that goes from ``start`` to ``end``.

        The step's middle counts, so that neither the first nor the last step is lost to a rate
        of zero.
        """
        middle = (start + end) / 2
        rising = middle / self.warmup if self.warmup > 0 else 1.0
        falling = (1.0 - middle) / self.decay if self.decay > 0 else 1.0
        return min(1.0, rising, falling)
