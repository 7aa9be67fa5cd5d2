"""What people see of a training run: its log, its trackers and its line on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from modelwright.core.files import PARTIAL_SUFFIX
from modelwright.core.job import Job
from modelwright.core.log_rows import forget_rows_after
from modelwright.training.callbacks.callback import ReportListener
from modelwright.training.callbacks.logging import Logging
from modelwright.training.checkpoint import TrainState
from modelwright.training.samples import FILE as SAMPLES
from modelwright.training.samples import Samples
from modelwright.training.settings import LoopSettings
from modelwright.training.trackers.open_trackers import open_trackers
from modelwright.training.trackers.tracker import TrackedRun
from modelwright.training.training_log import FILE, TrainingLog

PROJECT = "modelwright"
"""What runs are compared in, where a tracker's own variables name nothing else."""

TRACKERS_FOLDER = "trackers"
"""Databases of local trackers, beside the artifacts."""


@dataclass(frozen=True)
class Watch:
    """What wants to be told of a run; of a process that does not lead, nothing.

    Attributes
    ----------
    listeners : list of ReportListener
        Told of every step.
    on_measures : callable
        Told of held-out measurements.
    on_samples : callable
        Called when the model should write samples.
    """

    listeners: list[ReportListener] = field(default_factory=list)
    on_measures: Callable[[TrainState, dict[str, float]], None] = lambda state, values: None
    on_samples: Callable[[TrainState], None] = lambda state: None


@contextmanager
def watched(
    job: Job[LoopSettings] | Job,  # type: ignore[type-arg]
    settings: LoopSettings,
    state: TrainState,
    flops_per_token: float,
    peak_flops: float,
    samples: Samples | None = None,
) -> Iterator[Watch]:
    """Open log, trackers and display; they go on where ``state`` is.

    Parameters
    ----------
    job : Job
        Gives the log folder, the store and the display.
    settings : LoopSettings
        Names the trackers, which keep all of them.
    state : TrainState
        Where the run begins.
    flops_per_token : float
        Operations of forward and backward pass.
    peak_flops : float
        What the machine can do in a second.
    samples : Samples, optional
        Written beside the log.
    """
    run = _tracked_run(job, settings, state.step)
    with open_trackers(settings.trackers, run, job.progress.note) as track:

        def keep(step: int, values: Mapping[str, float]) -> None:
            job.log_metrics(step, values)
            track(step, values)

        log = TrainingLog(job.log / FILE, state.step, keep)
        with job.progress.task("training", 100, "% of the budget") as task:

            def show(state: TrainState, values: dict[str, float]) -> None:
                log.write_measures(state, values)
                task.update(100 * state.horizon.progress, **_shown(values))

            def write_samples(state: TrainState) -> None:
                if samples is not None:
                    samples.write(job.log / SAMPLES, state)

            if samples is not None:
                forget_rows_after(job.log / SAMPLES, state.step)
            note = job.progress.note
            logging = Logging(log, task, note, state, flops_per_token, peak_flops)
            yield Watch([logging], show, write_samples)


def _tracked_run(
    job: Job[LoopSettings] | Job,  # type: ignore[type-arg]
    settings: LoopSettings,
    step: int,
) -> TrackedRun:
    return TrackedRun(
        name=job.folder.name.removesuffix(PARTIAL_SUFFIX),
        project=PROJECT,
        settings=settings.model_dump(mode="json"),
        log=job.log,
        scratch=job.scratch,
        shared=job.folder.parent / TRACKERS_FOLDER,
        step=step,
    )


def _shown(measures: dict[str, float]) -> dict[str, str]:
    return {
        name.replace("validation_", "held-out ").replace("_", " "): f"{value:.3f}"
        for name, value in measures.items()
    }
