"""Fitting a model inside a stage: resume, callbacks, progress and log around the loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from modelwright.core.job import Job
from modelwright.core.progress import Task
from modelwright.core.settings import chosen
from modelwright.models.device import pick_device, pick_precision, use_all_cores
from modelwright.models.transformer import CausalLM
from modelwright.training.batches import Batches
from modelwright.training.budget import Budget, Horizon
from modelwright.training.checkpoint import TrainState, load_checkpoint, save_checkpoint
from modelwright.training.interrupts import StopRequest, stop_requests
from modelwright.training.loop import Callback, Loop, Objective, StepReport
from modelwright.training.optimizers import Optimizers, OptimizerSettings
from modelwright.training.schedule import WarmupStableDecay
from modelwright.training.settings import LoopSettings
from modelwright.training.training_log import FILE, TrainingLog

Measure = Callable[[], dict[str, float]]
"""Measures the model on held-out data: {name: value}."""

LOG_SECONDS = 1.0
"""Least time between two rows of the training log."""


@dataclass(frozen=True)
class Fitted:
    """What came out of :func:`fit`.

    Attributes
    ----------
    steps, tokens : int
        Optimizer steps done and tokens seen.
    seconds : float
        Training time, over all parts of an interrupted run.
    measures : dict
        Held-out measurements at the end.
    """

    steps: int
    tokens: int
    seconds: float
    measures: dict[str, float]


def fit(
    job: Job[LoopSettings] | Job,  # type: ignore[type-arg]
    settings: LoopSettings,
    model: CausalLM,
    objective: Objective,
    batches: Batches,
    measure: Measure,
    measure_count: int,
) -> Fitted:
    """Train ``model`` in place, going on from a checkpoint in the job's scratch folder.

    Parameters
    ----------
    job : Job
        Gives scratch and log folders, progress and store.
    settings : LoopSettings
        Every automatic setting must be filled in.
    model : CausalLM
        With its first weights.
    objective, batches
        What to minimise, on what.
    measure : callable
        Held-out measurements.
    measure_count : int
        How often to measure during the run, besides at its end.
    """
    use_all_cores()
    device = pick_device(settings.device)
    precision = pick_precision(settings.precision, device)
    model.to(device)
    optimizers = Optimizers(model, _optimizer_settings(settings))
    checkpoints = job.scratch / "checkpoints"
    state = load_checkpoint(checkpoints, model, optimizers)
    if state is not None:
        job.progress.note(f"  going on from step {state.step:,}")
    else:
        budget = Budget.parse(chosen(settings, "budget", settings.budget))
        horizon = Horizon.of(budget, batches.tokens_per_step, batches.steps_per_epoch)
        state = TrainState(step=0, tokens=0, horizon=horizon)
    log = TrainingLog(job.log / FILE, state.step, job.log_metrics)
    with stop_requests() as stop, job.progress.task("training", 100, "% of the budget") as task:
        callbacks: list[Callback] = [
            _Logging(log, task, state),
            _Measuring(log, task, measure, measure_count, state.horizon.progress),
            _Checkpointing(
                settings.checkpoint_seconds,
                lambda now: save_checkpoint(checkpoints, model, optimizers, now),
                stop,
            ),
        ]
        schedule = WarmupStableDecay(settings.warmup, settings.decay)
        Loop(
            model,
            optimizers,
            objective,
            batches,
            schedule,
            state,
            precision,
            settings.max_gradient_norm,
            callbacks,
        ).run()
    model.eval()
    measures = measure()
    log.write(state.step, {"tokens": state.tokens, "seconds": state.horizon.seconds, **measures})
    return Fitted(state.step, state.tokens, state.horizon.seconds, measures)


def _optimizer_settings(settings: LoopSettings) -> OptimizerSettings:
    rate = chosen(settings, "learning_rate", settings.learning_rate)
    matrix_rate = rate  # with AdamW everything has one rate
    if settings.optimizer == "muon":
        matrix_rate = chosen(settings, "matrix_learning_rate", settings.matrix_learning_rate)
    return OptimizerSettings(settings.optimizer, rate, matrix_rate, settings.weight_decay)


class _Logging:
    """Writes the mean of the steps since the last row, at most one row a second."""

    def __init__(self, log: TrainingLog, task: Task, state: TrainState):
        self.log, self.task = log, task
        self._begin(state.horizon.seconds)

    def _begin(self, seconds: float) -> None:
        self.since, self.losses, self.tokens = seconds, list[float](), 0

    def __call__(self, state: TrainState, report: StepReport) -> None:
        self.losses.append(report.loss)
        self.tokens += report.tokens
        elapsed = state.horizon.seconds - self.since
        if elapsed < LOG_SECONDS and not state.horizon.is_over:
            return
        loss, speed = sum(self.losses) / len(self.losses), self.tokens / elapsed
        self.log.write(
            state.step,
            {
                "tokens": state.tokens,
                "seconds": state.horizon.seconds,
                "loss": loss,
                "learning_rate": report.learning_rate,
                "gradient_norm": report.gradient_norm,
                "tokens_per_second": speed,
            },
        )
        self.task.update(
            100 * state.horizon.progress,
            step=f"{state.step:,}",
            loss=f"{loss:.3f}",
            speed=f"{speed:,.0f} tokens/s",
        )
        self._begin(state.horizon.seconds)


class _Measuring:
    """Measures on held-out data at even parts of the run."""

    def __init__(self, log: TrainingLog, task: Task, measure: Measure, count: int, progress: float):
        self.log, self.task, self.measure, self.count = log, task, measure, count
        self.done = int(progress * count)

    def __call__(self, state: TrainState, report: StepReport) -> None:
        due = int(state.horizon.progress * self.count)
        if due <= self.done or state.horizon.is_over:
            return
        self.done = due
        values = self.measure()
        self.log.write(
            state.step, {"tokens": state.tokens, "seconds": state.horizon.seconds, **values}
        )
        shown = {
            name.replace("validation_", "").replace("_", " "): f"{value:.3f}"
            for name, value in values.items()
        }
        self.task.update(100 * state.horizon.progress, **shown)


class _Checkpointing:
    """Saves for resume every so many seconds, and before stopping when that was asked for."""

    def __init__(self, interval: float, save: Callable[[TrainState], None], stop: StopRequest):
        self.interval, self.save, self.stop = interval, save, stop
        self.saved = time.monotonic()

    def __call__(self, state: TrainState, report: StepReport) -> None:
        is_due = time.monotonic() - self.saved >= self.interval and not state.horizon.is_over
        if is_due or self.stop.is_asked:
            self.save(state)
            self.saved = time.monotonic()
        if self.stop.is_asked:
            raise KeyboardInterrupt
