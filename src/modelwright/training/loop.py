"""The training loop: the only one. What is trained is the objective's business."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from modelwright.core.errors import TrainingError
from modelwright.models.transformer import CausalLM
from modelwright.training.batches import Batch, Batches
from modelwright.training.checkpoint import TrainState
from modelwright.training.optimizers import Optimizers
from modelwright.training.schedule import WarmupStableDecay

Objective = Callable[[CausalLM, Batch], Tensor]
"""(model, micro-batch) → weighted sum of losses in nats."""


@dataclass(frozen=True)
class StepReport:
    """What one optimizer step measured.

    Attributes
    ----------
    step : int
        Steps done, this one included.
    loss : float
        Mean loss over the step's weight, nats.
    gradient_norm : float
        Norm before clipping.
    learning_rate : float
        Rate of the embedding group in this step.
    tokens : int
        Tokens of this step.
    seconds : float
        Time of this step, callbacks of the step before it included.
    """

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    tokens: int
    seconds: float


Callback = Callable[[TrainState, StepReport], None]
"""Called after every step: logging, validation, checkpoints."""


@dataclass
class Loop:
    """Everything that training one model takes.

    Attributes
    ----------
    model, optimizers, objective, batches, schedule
        What is trained, how, on what.
    state : TrainState
        Where it stands; a loaded one makes the run go on exactly where it was cut off.
    precision : torch.dtype
        Type of the matrix products; weights and optimizer stay float32.
    max_gradient_norm : float
        Gradients longer than this are scaled down to it.
    callbacks : list of Callback
        In the order in which they are called.
    """

    model: CausalLM
    optimizers: Optimizers
    objective: Objective
    batches: Batches
    schedule: WarmupStableDecay
    state: TrainState
    precision: torch.dtype
    max_gradient_norm: float = 1.0
    callbacks: list[Callback] = field(default_factory=list)

    def run(self) -> None:
        """Train until the horizon is reached.

        Raises
        ------
        TrainingError
            If loss or gradients stop being finite.
        """
        self.model.train()
        started = time.monotonic()
        while not self.state.horizon.is_over:
            report, started = self.step(started)
            for callback in self.callbacks:
                callback(self.state, report)

    def step(self, started: float) -> tuple[StepReport, float]:
        """Take one optimizer step that began at ``started``; also returns when it ended."""
        state, horizon = self.state, self.state.horizon
        micro_batches = self.batches.at(state.step)
        weight = sum(float(batch.weights.sum()) for batch in micro_batches)
        loss = sum(self._backward(batch, weight) for batch in micro_batches)
        norm = float(
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.max_gradient_norm)
        )
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"loss {loss} and gradient norm {norm} at step {state.step + 1} are not finite",
                fix="lower the learning rates, then run again",
            )
        rate = self.schedule.multiplier(horizon.progress, horizon.next_progress(state.step))
        self.optimizers.step(rate)
        now = time.monotonic()
        tokens = sum(batch.tokens.numel() for batch in micro_batches)
        horizon.advance(state.step, now - started)
        state.step += 1
        state.tokens += tokens
        peak = self.optimizers.peak_learning_rate
        return StepReport(state.step, loss, norm, peak * rate, tokens, now - started), now

    def _backward(self, batch: Batch, weight: float) -> float:
        """Add the micro-batch's gradients, already divided by the whole step's weight."""
        device = next(self.model.parameters()).device
        with torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32):
            loss = self.objective(self.model, batch.to(device)) / weight
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())
