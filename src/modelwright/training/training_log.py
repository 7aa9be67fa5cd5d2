"""The training log: one JSON object a line in the artifact, and the same in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelwright.core.files import write_text
from modelwright.core.job import LogMetrics
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


def append_row(path: Path, step: int, values: Mapping[str, float | str]) -> None:
    """Append one row to a JSONL file."""
    with open(path, "a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps({"step": step, **values}) + "\n")


def forget_rows_after(path: Path, step: int) -> None:
    """Remove what a run wrote after the step that it goes on from; makes the file."""
    kept = [row for row in _read_rows(path) if row["step"] <= step]
    write_text(path, "".join(json.dumps(row) + "\n" for row in kept))


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a log whose last line may be cut off."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
