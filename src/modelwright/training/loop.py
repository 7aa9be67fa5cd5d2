"""The training loop: the only one. What is trained is the objective's business."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from modelwright.models.transformer import CausalLM
from modelwright.training.batches import Batch, Batches
from modelwright.training.callbacks.callback import Callback, StepReport
from modelwright.training.checkpoint import TrainState
from modelwright.training.objectives.objective import Objective
from modelwright.training.optimizers import Optimizers
from modelwright.training.schedule import Schedule


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
    callbacks : sequence of Callback
        Called after every step, in this order.
    """

    model: CausalLM
    optimizers: Optimizers
    objective: Objective
    batches: Batches
    schedule: Schedule
    state: TrainState
    precision: torch.dtype
    max_gradient_norm: float = 1.0
    callbacks: Sequence[Callback] = field(default_factory=list)

    def run(self) -> None:
        """Train until the horizon is reached.

        Raises
        ------
        TrainingError
            If step after step had to be left out.
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
        # Fixed before the first backward pass, over all micro-batches.
        weight = sum(float(batch.weights.sum()) for batch in micro_batches)
        measures = self._backward(micro_batches, weight)
        norm = float(
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.max_gradient_norm)
        )
        rate = self.schedule.multiplier(horizon.progress, horizon.next_progress(state.step))
        learning_rate = self.optimizers.peak_learning_rate * rate
        verdict = state.guard.judge(state.step + 1, measures["loss"], norm, learning_rate)
        if verdict.action == "stop":
            raise state.guard.diagnosis()
        if verdict.action == "take":
            self.optimizers.step(rate)
        else:
            self.model.zero_grad(set_to_none=True)
            state.skipped_steps += 1
        now = time.monotonic()
        tokens = sum(batch.tokens.numel() for batch in micro_batches)
        horizon.advance(state.step, now - started)
        state.step += 1
        state.tokens += tokens
        return StepReport(
            step=state.step,
            measures=measures,
            gradient_norm=norm,
            learning_rate=learning_rate,
            left_out=verdict.reason,
            tokens=tokens,
            seconds=now - started,
        ), now

    def _backward(self, micro_batches: Sequence[Batch], weight: float) -> dict[str, float]:
        """Leave the gradients of the whole step in the parameters; return its mean losses."""
        device = next(self.model.parameters()).device
        sums = dict[str, Tensor]()
        for batch in micro_batches:
            with torch.autocast(
                device.type, self.precision, enabled=self.precision != torch.float32
            ):
                losses = self.objective(self.model, batch.to(device))
            (losses.total / weight).backward()  # type: ignore[no-untyped-call]
            for name, value in {"loss": losses.total.detach(), **losses.measures}.items():
                sums[name] = sums[name] + value if name in sums else value
        return {name: float(value) / weight for name, value in sums.items()}
