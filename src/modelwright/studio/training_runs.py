"""Training runs of a workspace: finished ones, those that were cut off, and what they logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelwright.core.artifact import LOG_FOLDER, MANIFEST, read_manifest
from modelwright.core.errors import InputError
from modelwright.core.files import PARTIAL_SUFFIX
from modelwright.core.log_rows import Row, whole_rows
from modelwright.core.nearest import nearest
from modelwright.core.store import Run
from modelwright.core.workspace import Workspace
from modelwright.studio.sections import TRAINING_LOG

SAMPLES = f"{LOG_FOLDER}/samples.jsonl"
SUMMARY = (
    "tokens",
    "seconds",
    "flops",
    "loss",
    "validation_loss",
    "validation_bits_per_byte",
    "validation_accuracy",
    "validation_reward",
)
"""Measurements whose last values a table shows."""


@dataclass(frozen=True)
class TrainingRun:
    """One training.

    Attributes
    ----------
    id, stage : str
        Of the artifact that it made or was making.
    status : str
        ``finished``, ``running``, ``interrupted`` or ``failed``.
    started : str
        When it began, ISO 8601; empty where nobody knows.
    settings : dict
        As used; empty for a run that is not finished.
    rows : list of dict
        Of the training log, by step.
    samples : list of dict
        What the model wrote along the way.
    """

    id: str
    stage: str
    status: str
    started: str
    settings: dict[str, Any]
    rows: list[Row]
    samples: list[Row]

    def last(self, name: str) -> float | None:
        """The last value of a measurement."""
        return next((row[name] for row in reversed(self.rows) if name in row), None)

    def summary(self) -> dict[str, Any]:
        """What a table says of it."""
        figures = {name: self.last(name) for name in SUMMARY}
        head = {"id": self.id, "stage": self.stage, "status": self.status, "started": self.started}
        tokens, seconds = figures["tokens"], figures["seconds"]
        # Of the whole run; the log has it of each row.
        speed = tokens / seconds if tokens is not None and seconds else None
        return {**head, "steps": self.last("step"), **figures, "tokens_per_second": speed}

    def points(self, x: str, y: str) -> list[tuple[float, float]]:
        """Pairs of two measurements, where a row has both."""
        return [(row[x], row[y]) for row in self.rows if x in row and y in row]


def training_runs(workspace: Workspace, known: Sequence[Run]) -> list[TrainingRun]:
    """All training runs that left a log, newest first.

    Parameters
    ----------
    workspace : Workspace
        Where.
    known : sequence of Run
        What the store says of runs: how they ended.
    """
    by_artifact = {run.artifact: run for run in known}
    found = [
        _read(folder, by_artifact.get(folder.name.removesuffix(PARTIAL_SUFFIX)))
        for folder in workspace.artifacts_folder.glob("*")
        if (folder / TRAINING_LOG).is_file()
    ]
    return sorted(found, key=lambda run: (run.started, run.id), reverse=True)


def named(name: str, runs: Sequence[TrainingRun]) -> TrainingRun:
    """The run of that id, or an unambiguous beginning of it; of a stage the newest.

    Raises
    ------
    InputError
        If there is none, or more than one fits.
    """
    of_stage = [run for run in runs if run.stage == name]
    if of_stage:
        return of_stage[0]
    fitting = [run for run in runs if run.id.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    names = [run.id for run in fitting or runs]
    guess = nearest(name, names)
    meant = f"; did you mean '{guess}'?" if guess and not fitting else ""
    what = "fits more than one run" if fitting else f"is no training run{meant}"
    raise InputError(f"'{name}' {what}", fix=f"known: {', '.join(names) or 'none yet'}")


def differences(runs: Sequence[TrainingRun]) -> dict[str, list[Any]]:
    """Settings in which finished runs differ: each run's value, None where it has none."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    values = {name: [run.settings.get(name) for run in runs] for name in names}
    return {name: row for name, row in values.items() if any(value != row[0] for value in row)}


def _read(folder: Path, known: Run | None) -> TrainingRun:
    run_id = folder.name.removesuffix(PARTIAL_SUFFIX)
    started = known.started if known else ""
    settings = dict[str, Any]()
    status = known.status if known else "interrupted"
    stage = known.stage if known else run_id.rsplit("-", 1)[0]
    if (folder / MANIFEST).is_file() and folder.name == run_id:
        manifest = read_manifest(folder)
        settings, status, stage = manifest.settings, "finished", manifest.stage
        started = started or manifest.created
    rows, samples = whole_rows(folder / TRAINING_LOG), whole_rows(folder / SAMPLES)
    return TrainingRun(run_id, stage, status, started, settings, rows, samples)
