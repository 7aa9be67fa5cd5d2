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

SHOWN = ("loss", "accuracy", "reward")
"""What is shown of the measurements, where it is measured."""

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
        self.skipped_steps = state.skipped_steps
        self._begin(state.tokens, state.horizon.seconds)

    def _begin(self, tokens: int, seconds: float) -> None:
        self.tokens, self.since, self.taken = tokens, seconds, 0
        self.update_norm: float | None = None
        self.sums: dict[str, float] = defaultdict(float)

    def __call__(self, report: StepReport) -> None:
        """Add the step; write a row if one is due."""
        if report.left_out:
            self.note(f"  step {report.step:,} is left out: {report.left_out}")
            self.skipped_steps += 1
        else:
            self.taken += 1
            for name, value in report.measures.items():
                self.sums[name] += value
            if report.update_norm is not None:
                self.update_norm = report.update_norm
        elapsed = report.seconds - self.since
        if elapsed < LOG_SECONDS and report.progress < 1.0:
            return
        means = {name: value / self.taken for name, value in self.sums.items()}
        speed = (report.tokens - self.tokens) / elapsed
        reached = speed * self.flops_per_token
        # Beside other work the peak was measured too low: it is no less than what is reached.
        self.peak_flops = max(self.peak_flops, reached)
        utilisation = reached / self.peak_flops
        self.log.write(
            report.step,
            {
                "tokens": report.tokens,
                "seconds": report.seconds,
                "flops": report.tokens * self.flops_per_token,
                **means,
                "learning_rate": report.learning_rate,
                **_finite("gradient_norm", report.gradient_norm),
                **_finite("update_norm", self.update_norm),
                "tokens_per_second": speed,
                "model_flops_utilisation": utilisation,
                "memory_bytes": float(memory_in_use_bytes()),
                "skipped_steps": self.skipped_steps,
            },
        )
        self.task.update(
            100 * report.progress,
            step=f"{report.step:,}",
            **{name: f"{means[name]:.3f}" for name in SHOWN if name in means},
            speed=f"{speed:,.0f} tokens/s",
            MFU=f"{utilisation:.0%}",
            left=f"{report.seconds_left:,.0f} s",
        )
        self._begin(report.tokens, report.seconds)


def _finite(name: str, value: float | None) -> dict[str, float]:
    """The value, unless there is none that JSON can hold."""
    return {name: value} if value is not None and math.isfinite(value) else {}
