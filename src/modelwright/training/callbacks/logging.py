"""Writes measurements to the log and shows them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

from modelwright.core.machine import memory_in_use_bytes
from modelwright.core.progress import Task
from modelwright.training.callbacks.callback import StepReport
from modelwright.training.checkpoint import TrainState
from modelwright.training.training_log import TrainingLog

LOG_SECONDS = 1.0
"""Least time between two rows of the training log."""


class Logging:
    """Writes the mean of the steps since the last row, at most one row a second.

    Parameters
    ----------
    log : TrainingLog
        Gets the rows.
    task : Task
        Shows them.
    note : callable
        Told of every step that was left out.
    state : TrainState
        Where the run begins.
    flops_per_token : float
        Operations of forward and backward pass.
    peak_flops : float
        What the machine can do in a second.
    """

    def __init__(
        self,
        log: TrainingLog,
        task: Task,
        note: Callable[[str], None],
        state: TrainState,
        flops_per_token: float,
        peak_flops: float,
    ):
        self.log, self.task, self.note = log, task, note
        self.flops_per_token, self.peak_flops = flops_per_token, peak_flops
        self._begin(state.horizon.seconds)

    def _begin(self, seconds: float) -> None:
        self.since, self.taken, self.tokens = seconds, 0, 0
        self.sums: dict[str, float] = defaultdict(float)

    def __call__(self, state: TrainState, report: StepReport) -> None:
        """Add the step; write a row if one is due."""
        self.tokens += report.tokens
        if report.left_out:
            self.note(f"  step {report.step:,} is left out: {report.left_out}")
        else:
            self.taken += 1
            for name, value in report.measures.items():
                self.sums[name] += value
        elapsed = state.horizon.seconds - self.since
        if elapsed < LOG_SECONDS and not state.horizon.is_over:
            return
        means = {name: value / self.taken for name, value in self.sums.items()}
        speed = self.tokens / elapsed
        utilisation = speed * self.flops_per_token / self.peak_flops
        norm = report.gradient_norm
        self.log.write(
            state.step,
            {
                "tokens": state.tokens,
                "seconds": state.horizon.seconds,
                "flops": state.tokens * self.flops_per_token,
                **means,
                "learning_rate": report.learning_rate,
                **({"gradient_norm": norm} if math.isfinite(norm) else {}),
                "tokens_per_second": speed,
                "model_flops_utilisation": utilisation,
                "memory_bytes": float(memory_in_use_bytes()),
                "skipped_steps": state.skipped_steps,
            },
        )
        self.task.update(
            100 * state.horizon.progress,
            step=f"{state.step:,}",
            loss=f"{means['loss']:.3f}" if means else "-",
            speed=f"{speed:,.0f} tokens/s",
            MFU=f"{utilisation:.0%}",
            left=f"{state.horizon.seconds_left(state.step):,.0f} s",
        )
        self._begin(state.horizon.seconds)
