"""What a tracker is, and the run that it follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

TrackerName = Literal["tensorboard", "mlflow", "wandb", "trackio"]


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker needs to know of a run.

    Attributes
    ----------
    name : str
        Names the run; another one has another name (the artifact's id).
    project : str
        What runs are compared in.
    settings : mapping
        As used: plain values.
    log : Path
        The artifact's folder of logs.
    scratch : Path
        Folder for what serves resume only.
    shared : Path
        Folder for what all runs of the workspace share: databases of local trackers.
    step : int
        Steps done before this part of the run; 0 unless it goes on from a checkpoint.
    """

    name: str
    project: str
    settings: Mapping[str, object]
    log: Path
    scratch: Path
    shared: Path
    step: int


class Tracker(Protocol):
    """Where rows go; all its methods are called from one thread.

    Attributes
    ----------
    run_id : str
        The tracker's own name of the run, to go on in it after an interruption; empty if the
        tracker forgets by itself what came after the step that a run goes on from.
    """

    run_id: str

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Store the values that were measured after a step; a step may come twice."""

    def close(self, is_complete: bool) -> None:
        """Flush; say whether the run came to its end or was cut off."""
