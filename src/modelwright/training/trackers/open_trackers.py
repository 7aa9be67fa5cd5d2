"""Opening the trackers that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from modelwright.core.errors import UsageError
from modelwright.core.job import LogMetrics
from modelwright.training.trackers.background import BackgroundTracker, Note
from modelwright.training.trackers.mlflow import MLflowTracker
from modelwright.training.trackers.tensorboard import TensorBoardTracker
from modelwright.training.trackers.tracker import TrackedRun, Tracker
from modelwright.training.trackers.trackio import TrackioTracker
from modelwright.training.trackers.wandb import WandbTracker

TRACKERS: dict[str, Callable[[TrackedRun, str | None], Tracker]] = {
    "tensorboard": lambda run, run_id: TensorBoardTracker(run),
    "mlflow": MLflowTracker,
    "wandb": WandbTracker,
    "trackio": TrackioTracker,
}
"""Adding one is one file with one class, and a line here."""


def open_tracker(name: str, run: TrackedRun, note: Note) -> BackgroundTracker:
    """Open a tracker for a run.

    Parameters
    ----------
    name : str
        One of :data:`TRACKERS`.
    run : TrackedRun
        What it follows.
    note : callable
        Told once if it fails later.

    Raises
    ------
    MissingExtraError
        If its package is not installed.
    ModelwrightError
        If it cannot be opened.
    UsageError
        If there is none of that name.
    """
    if name not in TRACKERS:
        raise UsageError(f"'{name}' is no tracker", fix=f"use one of: {', '.join(TRACKERS)}")
    start = TRACKERS[name]
    return BackgroundTracker(name, lambda run_id: start(run, run_id), run.scratch, note)


@contextmanager
def open_trackers(names: Sequence[str], run: TrackedRun, note: Note) -> Iterator[LogMetrics]:
    """Open several; gives a function that writes a row to all, and closes them at the end."""
    opened = list[BackgroundTracker]()
    is_complete = False

    def write(step: int, values: Mapping[str, float]) -> None:
        for tracker in opened:
            tracker.write(step, values)

    try:
        for name in dict.fromkeys(names):  # asked for twice is once
            opened.append(open_tracker(name, run, note))
        yield write
        is_complete = True
    finally:
        for tracker in opened:
            tracker.close(is_complete)
