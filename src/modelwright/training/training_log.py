"""The training log: one JSON object a line in the artifact, and the same in the store."""

from __future__ import annotations

from pathlib import Path

from modelwright.core.job import LogMetrics
from modelwright.core.log_rows import append_row, forget_rows_after
from modelwright.training.checkpoint import TrainState

FILE = "training.jsonl"


class TrainingLog:
    """Appends measurements; opened at a step, it forgets what a cut-off run wrote after it.

    Parameters
    ----------
    path : Path
        The JSONL file.
    step : int
        The last step that counts.
    log_metrics : callable
        Gets every measurement too.
    """

    def __init__(self, path: Path, step: int, log_metrics: LogMetrics):
        self.path, self.log_metrics = path, log_metrics
        forget_rows_after(path, step)

    def write_measures(self, state: TrainState, values: dict[str, float]) -> None:
        """Append measurements on held-out data."""
        where = {"tokens": state.tokens, "seconds": state.horizon.seconds}
        self.write(state.step, {**where, **values})

    def write(self, step: int, values: dict[str, float]) -> None:
        """Append one row."""
        append_row(self.path, step, values)
        self.log_metrics(step, values)
