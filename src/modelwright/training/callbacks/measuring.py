"""Measures on held-out data at even parts of the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from modelwright.training.checkpoint import TrainState

Measure = Callable[[], dict[str, float]]
"""Measures the model on held-out data: {name: value}."""

Listener = Callable[[TrainState, dict[str, float]], None]
"""Told of every measurement."""


class Measuring:
    """Measures so many times in a run, besides at its end.

    Parameters
    ----------
    measure : callable
        Held-out measurements.
    count : int
        How often.
    progress : float
        Where the run begins, as a fraction.
    listeners : sequence of callable
        Told of the values, in this order.
    """

    def __init__(
        self, measure: Measure, count: int, progress: float, listeners: Sequence[Listener]
    ):
        self.measure, self.count, self.listeners = measure, count, listeners
        self.done = int(progress * count)

    def __call__(self, state: TrainState) -> None:
        """Measure if it is due."""
        due = int(state.horizon.progress * self.count)
        if due <= self.done or state.is_over:
            return
        self.done = due
        values = self.measure()
        for listener in self.listeners:
            listener(state, values)
