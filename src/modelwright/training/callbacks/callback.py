"""What happens after a step: callbacks, and what listeners are told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelwright.training.checkpoint import TrainState


@dataclass(frozen=True)
class StepReport:
    """What one optimizer step measured, and how far the run was after it.

    Attributes
    ----------
    step : int
        Steps done, this one included.
    tokens : int
        Tokens that went through the model until now, over all processes.
    seconds, seconds_left : float
        Training time used, and an estimate of what is left.
    progress : float
        Fraction of the run that is done.
    measures : dict of str to float
        Means over the step's weight: ``loss`` in nats, and what else the objective measures.
    gradient_norm : float
        Norm before clipping.
    update_norm : float or None
        Norm of the change of all weights, where it was measured.
    learning_rate : float
        Rate of the embedding group in this step.
    left_out : str
        Why its update was not taken; empty if it was.
    """

    step: int
    tokens: int
    seconds: float
    seconds_left: float
    progress: float
    measures: dict[str, float]
    gradient_norm: float
    update_norm: float | None
    learning_rate: float
    left_out: str = ""

    @property
    def loss(self) -> float:
        """Mean loss, nats."""
        return self.measures["loss"]


Callback = Callable[[TrainState], None]
"""Called after every step with where the run stands: measuring, averaging, checkpoints."""

ReportListener = Callable[[StepReport], None]
"""Told what each step measured; on a GPU one step late, so that nobody waits for it."""
