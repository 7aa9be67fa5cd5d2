"""What a callback is, and what it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelwright.training.checkpoint import TrainState


@dataclass(frozen=True)
class StepReport:
    """What one optimizer step measured.

    Attributes
    ----------
    step : int
        Steps done, this one included.
    measures : dict of str to float
        Means over the step's weight: ``loss`` in nats, and what else the objective measures.
    gradient_norm : float
        Norm before clipping.
    learning_rate : float
        Rate of the embedding group in this step.
    tokens : int
        Tokens of this step.
    seconds : float
        Time of this step, callbacks of the step before it included.
    left_out : str
        Why its update was not taken; empty if it was.
    """

    step: int
    measures: dict[str, float]
    gradient_norm: float
    learning_rate: float
    tokens: int
    seconds: float
    left_out: str = ""

    @property
    def loss(self) -> float:
        """Mean loss, nats."""
        return self.measures["loss"]


Callback = Callable[[TrainState, StepReport], None]
"""Called after every step: logging, measuring, checkpoints."""
