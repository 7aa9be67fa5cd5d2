"""Keeps an average of the weights along the run."""

from __future__ import annotations

from modelwright.training.averaging import WeightAverage
from modelwright.training.checkpoint import TrainState


class Averaging:
    """Adds the weights after every step.

    Parameters
    ----------
    average : WeightAverage
        What is kept.
    progress : float
        Where the run begins, as a fraction.
    """

    def __init__(self, average: WeightAverage, progress: float):
        self.average, self.progress = average, progress

    def __call__(self, state: TrainState) -> None:
        """Add the weights."""
        self.average.update(self.progress, state.horizon.progress)
        self.progress = state.horizon.progress
