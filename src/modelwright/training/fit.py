"""Fitting a model inside a stage: resume, callbacks, progress and log around the loop."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass

import torch

from modelwright.core.job import Job
from modelwright.core.settings import chosen
from modelwright.models.device import pick_device, pick_precision, use_all_cores
from modelwright.models.quantization.float8 import use_float8
from modelwright.models.transformer import DecoderModel
from modelwright.training.averaging import AveragingSettings, WeightAverage
from modelwright.training.batches import Batches
from modelwright.training.budget import Budget, Horizon
from modelwright.training.callbacks.averaging import Averaging
from modelwright.training.callbacks.callback import Callback
from modelwright.training.callbacks.checkpointing import Checkpointing
from modelwright.training.callbacks.early_stopping import EarlyStopping
from modelwright.training.callbacks.measuring import Measure, Measuring
from modelwright.training.callbacks.pruning import Pruning
from modelwright.training.checkpoint import (
    CHECKPOINTS,
    CheckpointWriter,
    TrainState,
    load_checkpoint,
)
from modelwright.training.compiling import compile_blocks, should_compile
from modelwright.training.guard import GuardSettings
from modelwright.training.heap import kept_heap
from modelwright.training.interrupts import stop_requests
from modelwright.training.live_tensors import StepShape
from modelwright.training.loop import Loop
from modelwright.training.memory import (
    EXPECTED,
    PEAK,
    Copies,
    Forecast,
    check_fits,
    compared,
    forecast,
    watch_peak,
)
from modelwright.training.micro_batch import MicroBatch
from modelwright.training.objectives.objective import Objective, Prepare
from modelwright.training.optimizers import Optimizers, OptimizerSettings
from modelwright.training.parallel.forward import Forward, forward_alone
from modelwright.training.parallel.shares import SharedBatches
from modelwright.training.parallel.world import World, this_world
from modelwright.training.prefetching import PrefetchedBatches
from modelwright.training.rates import WEIGHT_DECAY
from modelwright.training.samples import Samples
from modelwright.training.schedule import schedule
from modelwright.training.settings import AdaptationSettings, LoopSettings
from modelwright.training.utilisation import peak_flops
from modelwright.training.watching import Watch, watched


@dataclass(frozen=True)
class Fitted:
    """What came out of :func:`fit`.

    Attributes
    ----------
    steps, skipped_steps, tokens : int
        Optimizer steps done, how many of them the guard left out, and tokens seen.
    seconds : float
        Training time, over all parts of an interrupted run.
    saving_seconds : float
        Time that training had to wait for checkpoints, in this part of the run.
    measures : dict
        Held-out measurements at the end.
    memory : dict
        Bytes: ``expected_memory_bytes`` and ``peak_memory_bytes``, as far as they are known.
    settings : dict
        What was chosen here: the precision, and whether the model was compiled.
    """

    steps: int
    skipped_steps: int
    tokens: int
    seconds: float
    saving_seconds: float
    measures: dict[str, float]
    memory: dict[str, int]
    settings: dict[str, str | bool]


def fit(
    job: Job[LoopSettings] | Job,  # type: ignore[type-arg]
    settings: LoopSettings,
    model: DecoderModel,
    objective: Objective,
    batches: Batches[MicroBatch],
    measure: Measure,
    measure_count: int,
    flops_per_token: float,
    samples: Samples | None = None,
    prepare: Prepare | None = None,
    guard: GuardSettings | None = None,
    callbacks: Sequence[Callback] = (),
    spent_seconds: float = 0.0,
) -> Fitted:
    """Train ``model`` in place, going on from a checkpoint in the job's scratch folder.

    Parameters
    ----------
    job : Job
        Gives scratch and log folders, progress and store.
    settings : LoopSettings
        Every automatic setting must be filled in.
    model : DecoderModel
        With its first weights.
    objective, batches
        What to minimise, on what.
    measure : callable
        Held-out measurements.
    measure_count : int
        How often to measure during the run, besides at its end.
    flops_per_token : float
        Operations of forward and backward pass.
    samples : Samples, optional
        Written at every measurement.
    prepare : callable, optional
        Looks at all micro-batches of a step before the first backward pass.
    guard : GuardSettings, optional
        When a step is bad.
    callbacks : sequence of Callback
        Called first after every step: what has to hold of the weights that are averaged, measured
        and saved.
    spent_seconds : float
        Time that the first weights took; it counts as training time.

    Raises
    ------
    UsageError
        If the model is to be compiled and there is no compiler, or the device has no float8 and
        that is asked for.
    TrainingError
        If it would take more memory than there is, or step after step was bad.
    PrunedError
        If the job's caller gives the training up.
    """
    use_all_cores()
    world = this_world()
    device, precision = _prepare(model, settings)
    optimizer = _optimizer_settings(settings, precision)
    budget = Budget.parse(chosen(settings, "budget", settings.budget))
    horizon = Horizon.of(budget, batches.tokens_per_step, batches.steps_per_epoch, flops_per_token)
    horizon.seconds = spent_seconds
    peak = peak_flops(device, precision) * world.size
    compiles = should_compile(settings.compile, device, budget, batches.has_one_shape)
    expected = None
    if world.size == 1:
        least_seconds = horizon.least_seconds(batches.tokens_per_step * flops_per_token / peak)
        copies = _copies(settings, least_seconds)
        shape = StepShape(batches.largest(), batches.micro_batches, precision)
        expected = forecast(model, objective, optimizer, shape, copies, compiles)
        job.progress.note(f"  {expected}")
        check_fits(expected, device)
    read_peak = watch_peak(device)
    if compiles:
        compile_blocks(model, device)
    forward = _forward(model, objective, world, settings.shard)
    optimizers = Optimizers(model, optimizer)
    checkpoints = job.scratch / CHECKPOINTS
    average = _average(settings, model)
    best = (
        None if settings.early_stopping is None else EarlyStopping(model, settings.early_stopping)
    )
    kept = {"average": average, "best": best}
    extras = {name: extra for name, extra in kept.items() if extra is not None}
    state = load_checkpoint(checkpoints, model, optimizers, extras)
    if state is None:
        state = TrainState(step=0, tokens=0, horizon=horizon)
    else:
        job.progress.note(f"  going on from step {state.step:,}")
    state.guard.settings = guard or GuardSettings()
    ready = PrefetchedBatches(SharedBatches(batches, world), device)
    writer = CheckpointWriter(checkpoints, model, optimizers, extras, world.is_leader)
    with (
        kept_heap() if device.type == "cpu" else nullcontext(),
        closing(ready),
        closing(writer),
        watched(job, settings, state, flops_per_token, peak, samples)
        if world.is_leader
        else nullcontext(Watch()) as watch,
    ):
        with stop_requests() as stop:

            def measured() -> dict[str, float]:
                with average.applied() if average else nullcontext():
                    values = measure()
                    if best:
                        best.look(state, values)
                    watch.on_samples(state)
                return values

            def save(state: TrainState) -> None:
                loop.settle()  # the guard must have judged every step that is saved
                writer.save(state)

            loop = Loop(
                model,
                optimizers,
                forward,
                ready,
                schedule(settings.schedule, settings.warmup, settings.decay, settings.rate_floor),
                state,
                precision,
                settings.max_gradient_norm,
                [
                    *callbacks,
                    *([Averaging(average, state.horizon.progress)] if average else []),
                    Measuring(
                        measured,
                        measure_count,
                        state.horizon.progress,
                        [watch.on_measures, Pruning(job.should_prune, save, writer.finish, world)],
                    ),
                    Checkpointing(
                        settings.checkpoint_seconds, save, writer.finish, stop, state, world
                    ),
                ],
                watch.listeners,
                prepare,
                world,
                settings.seed,
            )
            loop.run()
        model.eval()
        if average is not None:
            average.apply()
        measures = measure()
        watch.on_measures(state, measures)
        if best:
            best.look(state, measures)
            best.restore_best()
            measures = best.best
            job.progress.note(f"  of {state.step:,} steps, the weights after step {best.step:,}")
        watch.on_samples(state)
        memory = _memory(expected, read_peak())
        if len(memory) == 2:
            job.progress.note("  " + compared(memory[PEAK], memory[EXPECTED]))
    return Fitted(
        state.step,
        state.skipped_steps,
        state.tokens,
        state.horizon.seconds,
        writer.stalled,
        measures,
        memory,
        {"precision": _used(settings.precision, precision), "compile": compiles},
    )


def _prepare(model: DecoderModel, settings: LoopSettings) -> tuple[torch.device, torch.dtype]:
    """Bring the model where and into the form in which it is trained."""
    device = pick_device(settings.device)
    precision = pick_precision(settings.precision, device)
    model.to(device)
    if settings.precision == "float8":
        use_float8(model.model.layers)
    model.model.recompute_activations = settings.recompute_activations
    return device, precision


def _used(asked: str, picked: torch.dtype) -> str:
    return asked if asked == "float8" else str(picked).removeprefix("torch.")


def _copies(settings: LoopSettings, least_seconds: float) -> Copies:
    of_weights = (settings.averaging is not None) + (settings.early_stopping is not None)
    return Copies(of_weights, is_saved=least_seconds >= settings.checkpoint_seconds)


def _memory(expected: Forecast | None, peak: int | None) -> dict[str, int]:
    known = {EXPECTED: None if expected is None else expected.total, PEAK: peak}
    return {name: size for name, size in known.items() if size is not None}


def _forward(model: DecoderModel, objective: Objective, world: World, shards: bool) -> Forward:
    if world.size == 1:
        return forward_alone(model, objective)
    from modelwright.training.parallel.spread import forward_together, shard

    if shards:
        shard(model, world)
    return forward_together(model, objective)


def _average(settings: LoopSettings, model: DecoderModel) -> WeightAverage | None:
    if settings.averaging is None:
        return None
    return WeightAverage(model, AveragingSettings(settings.averaging, settings.averaging_part))


def _optimizer_settings(settings: LoopSettings, precision: torch.dtype) -> OptimizerSettings:
    rate = chosen(settings, "learning_rate", settings.learning_rate)
    matrix_rate = rate  # with AdamW everything has one rate
    if settings.optimizer == "muon":
        matrix_rate = chosen(settings, "matrix_learning_rate", settings.matrix_learning_rate)
    decay = WEIGHT_DECAY if settings.weight_decay is None else settings.weight_decay
    b_rate = settings.adapter_b_rate if isinstance(settings, AdaptationSettings) else 1.0
    return OptimizerSettings(
        settings.optimizer,
        rate,
        matrix_rate,
        decay,
        adapter_b_rate=b_rate,
        matrix_precision=precision,
    )
