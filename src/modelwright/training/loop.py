"""The training loop: the only one. What is trained is the objective's business."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from modelwright.models.sharded import whole
from modelwright.models.transformer import DecoderModel
from modelwright.tokens.order import keyed_hash
from modelwright.training.batches import Batches
from modelwright.training.callbacks.callback import Callback, ReportListener, StepReport
from modelwright.training.checkpoint import TrainState
from modelwright.training.micro_batch import MicroBatch, Totals, moved, summed_totals, token_count
from modelwright.training.objectives.objective import Prepare
from modelwright.training.optimizers import Optimizers
from modelwright.training.parallel.forward import Forward
from modelwright.training.parallel.world import ALONE, World
from modelwright.training.readings import Reading
from modelwright.training.schedule import Schedule

UPDATE_NORM_STEPS = 10
"""Steps between two measurements of how much the weights change, which needs a copy of them."""


@dataclass
class Loop:
    """Everything that training one model takes.

    Attributes
    ----------
    model, optimizers, batches, schedule
        What is trained, how, on what.
    forward : callable
        The objective on a micro-batch (:mod:`modelwright.training.parallel.forward`).
    state : TrainState
        Where it stands; a loaded one makes the run go on exactly where it was cut off.
    precision : torch.dtype
        Type of the matrix products; weights and optimizer stay float32.
    max_gradient_norm : float
        Gradients longer than this are scaled down to it.
    callbacks : sequence of Callback
        Called after every step, in this order.
    listeners : sequence of ReportListener
        Told what each step measured.
    prepare : callable, optional
        Looks at all micro-batches of a step before the first backward pass.
    world : World
        The processes that train together; each has its share of the batches.
    seed : int
        Of what a model leaves to chance in training.
    """

    model: DecoderModel
    optimizers: Optimizers
    forward: Forward
    batches: Batches[MicroBatch]
    schedule: Schedule
    state: TrainState
    precision: torch.dtype
    max_gradient_norm: float = 1.0
    callbacks: Sequence[Callback] = field(default_factory=list)
    listeners: Sequence[ReportListener] = field(default_factory=list)
    prepare: Prepare | None = None
    world: World = ALONE
    seed: int = 0
    _open: _OpenStep | None = field(default=None, init=False)

    def run(self) -> None:
        """Train until the horizon is reached.

        Raises
        ------
        TrainingError
            If step after step had to be left out.
        """
        self.model.train()
        started = time.monotonic()
        while not self.state.is_over:
            started = self.step(started)
            for callback in self.callbacks:
                callback(self.state)
        self.settle()

    def step(self, started: float) -> float:
        """Take one optimizer step that began at ``started``; returns when it ended.

        On a GPU it has only been queued then: whether it was good is decided there, and looked
        at here while the next one is under way.
        """
        state, horizon = self.state, self.state.horizon
        micro_batches = self.batches.at(state.step)
        # Fixed before the first backward pass, over all micro-batches and processes.
        totals = summed_totals(micro_batches)
        tokens, *sums = self.world.sum(token_count(micro_batches), *totals.values())
        # Where nothing counts, nothing is to be divided.
        divisors = {name: value or 1.0 for name, value in zip(totals, sums, strict=True)}
        means = self._backward(micro_batches, divisors)
        norm = whole(
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.max_gradient_norm)
        )
        rate = self.schedule.multiplier(horizon.progress, horizon.next_progress(state.step))
        is_good = state.guard.limits(state.step + 1).allow(means["loss"], norm)
        is_measured = state.step % UPDATE_NORM_STEPS == 0
        update_norm = self.optimizers.step(rate, is_good, is_measured)
        self.settle()
        now = time.monotonic()
        (seconds,) = self.world.sum(now - started if self.world.is_leader else 0.0)
        horizon.advance(state.step, seconds)
        state.step += 1
        state.tokens += round(tokens)
        self._open = _OpenStep(
            step=state.step,
            tokens=state.tokens,
            seconds=horizon.seconds,
            seconds_left=horizon.seconds_left(state.step),
            progress=horizon.progress,
            learning_rate=self.optimizers.peak_learning_rate * rate,
            means=Reading(means),
            norms=Reading(
                {"gradient": norm} | ({} if update_norm is None else {"update": update_norm})
            ),
        )
        if not norm.is_cuda:
            self.settle()
        return now

    def settle(self) -> None:
        """Judge the step that was taken last and report it, if that has not been done.

        Raises
        ------
        TrainingError
            If step after step had to be left out.
        """
        if self._open is None:
            return
        done, self._open = self._open, None
        means, norms = done.means.read(), done.norms.read()
        guard = self.state.guard
        verdict = guard.judge(done.step, means["loss"], norms["gradient"], done.learning_rate)
        if verdict.action == "stop":
            raise guard.diagnosis()
        self.state.skipped_steps += verdict.action == "skip"
        report = StepReport(
            step=done.step,
            tokens=done.tokens,
            seconds=done.seconds,
            seconds_left=done.seconds_left,
            progress=done.progress,
            measures=means,
            gradient_norm=norms["gradient"],
            update_norm=norms.get("update"),
            learning_rate=done.learning_rate,
            left_out=verdict.reason,
        )
        for listener in self.listeners:
            listener(report)

    def _backward(self, batches: Sequence[MicroBatch], totals: Totals) -> dict[str, Tensor]:
        """Leave the gradients of the whole step in the parameters; return its mean losses."""
        device = next(self.model.parameters()).device
        if any(isinstance(one, nn.Dropout) for one in self.model.modules()):  # adapters may have
            place = self.state.step * self.world.size + self.world.rank
            torch.manual_seed(keyed_hash(self.seed, place))
        autocast = torch.autocast(
            device.type, self.precision, enabled=self.precision != torch.float32
        )
        on_device: Iterable[MicroBatch] = (moved(batch, device) for batch in batches)
        if self.prepare is not None:
            with autocast, torch.no_grad():
                on_device = self.prepare(self.model, list(on_device), self.world)
        sums = dict[str, Tensor]()
        for number, batch in enumerate(on_device, start=1):
            with autocast:
                losses = self.forward(batch, totals, number == len(batches))
            # Gradients are averaged over the processes; their sum is wanted.
            (losses.total * self.world.size).backward()  # type: ignore[no-untyped-call]
            for name, value in {"loss": losses.total.detach(), **losses.measures}.items():
                sums[name] = sums[name] + value if name in sums else value
        means = self.world.add(torch.stack(list(sums.values())))
        return dict(zip(sums, means, strict=True))


@dataclass(frozen=True)
class _OpenStep:
    """A step that was taken, or queued on a device, and is not judged yet."""

    step: int
    tokens: int
    seconds: float
    seconds_left: float
    progress: float
    learning_rate: float
    means: Reading
    norms: Reading
