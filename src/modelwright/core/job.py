"""What a stage function gets and gives: a :class:`Job` in, an :class:`Outcome` out.

A stage is ``def stage(job: Job[ItsSettings]) -> Outcome``. It reads ``job.inputs``, writes files
into ``job.folder``, and says what it counted. The caller hashes the files, writes the manifest
and gives the folder its final name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from modelwright.core.artifact import LOG_FOLDER, SCRATCH_FOLDER, Artifact
from modelwright.core.errors import UsageError
from modelwright.core.progress import Progress
from modelwright.core.settings import Settings

S = TypeVar("S", bound=Settings)

LogMetrics = Callable[[int, Mapping[str, float]], None]
"""Called with (step, {name: value}) for every measurement during a stage."""

ShouldPrune = Callable[[int, Mapping[str, float]], bool]
"""Called with (step, {name: value}) for every held-out measurement before the last; whether to give
the training up."""


@dataclass(frozen=True)
class Job(Generic[S]):
    """One execution of one stage.

    Attributes
    ----------
    settings : Settings
        The stage's settings, as asked for.
    inputs : mapping of role to Artifact
        Finished artifacts; a role that is optional and not there is left out.
    folder : Path
        Where to write. A resumable stage finds here what it wrote before it was cut off.
    progress : Progress
        Where to say what is going on.
    log_metrics : callable
        ``log_metrics(step, {name: value})`` keeps measurements in the store.
    previous : Artifact or None
        What the stage made the last time, in the same version of its code; from it a stage may
        copy what would come out the same.
    started : float
        ``time.monotonic()`` of the start of the whole run, for budgets that cover all stages.
    should_prune : callable
        ``should_prune(step, {name: value})`` is asked after every held-out measurement, in the
        process that leads; where it says yes, the training saves a checkpoint and raises
        ``PrunedError``.
    """

    settings: S
    inputs: Mapping[str, Artifact]
    folder: Path
    progress: Progress
    log_metrics: LogMetrics = lambda step, values: None
    started: float = field(default_factory=time.monotonic)
    previous: Artifact | None = None
    should_prune: ShouldPrune = lambda step, values: False

    def input(self, role: str) -> Artifact:
        """The input of that role.

        Raises
        ------
        UsageError
            If it was not given.
        """
        if role not in self.inputs:
            raise UsageError(f"this stage needs a {role}", fix=f"give one with --{role}")
        return self.inputs[role]

    @property
    def scratch(self) -> Path:
        """Folder for files that only serve resume; removed when the stage is done."""
        return _made(self.folder / SCRATCH_FOLDER)

    @property
    def log(self) -> Path:
        """Folder for logs, which hold timings and so do not count in the artifact's digest."""
        return _made(self.folder / LOG_FOLDER)


@dataclass(frozen=True)
class Outcome:
    """What a stage has to say of its result, for the manifest.

    Attributes
    ----------
    counts : dict
        What came in and what went out.
    dropped : dict
        What was left out, by reason.
    metrics : dict
        Final measurements.
    licences : list of str
        SPDX licences of what entered at this stage (the parents' are added by the caller).
    settings : dict
        Settings as used, where they differ from those asked for (automatic choices).
    """

    counts: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    licences: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
