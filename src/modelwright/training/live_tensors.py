"""Bytes of the tensors that live during an optimizer step, found without computing or allocating.

The step is run on fake tensors, which have shapes and no numbers (torch's ``FakeTensorMode``), and
what each operation makes is counted until it is dropped. So what the model, the objective, the
optimizer or autocast does need not be described twice.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from modelwright.models.transformer import DecoderModel
from modelwright.training.heap import Event
from modelwright.training.interrupts import stop_requests
from modelwright.training.micro_batch import DataT, MicroBatch, mapped
from modelwright.training.objectives.objective import Objective
from modelwright.training.optimizers import Optimizers, OptimizerSettings


@dataclass(frozen=True)
class StepShape:
    """What an optimizer step works on, as far as its memory goes.

    Attributes
    ----------
    batch : MicroBatch
        The largest.
    micro_batches : int
        How many there are; from two on gradients wait for the next one.
    precision : torch.dtype
        Of the matrix products.
    """

    batch: MicroBatch
    micro_batches: int
    precision: torch.dtype


@dataclass(frozen=True)
class StepBytes:
    """Bytes of live tensors.

    Attributes
    ----------
    weights, optimizer : int
        Live between steps: parameters with the model's tables, and the optimizer's state.
    gradients : int
        Of all parameters.
    peak : int
        The most that lives at once in a step, all of the above included.
    before, during : tuple of Event
        What was made and dropped until the optimizer's state was there, and then in a step.
    """

    weights: int
    optimizer: int
    gradients: int
    peak: int
    before: tuple[Event, ...] = field(repr=False)
    during: tuple[Event, ...] = field(repr=False)


def step_bytes(
    model: DecoderModel,
    objective: Objective,
    optimizer: OptimizerSettings,
    shape: StepShape,
) -> StepBytes:
    """Count the tensors of one optimizer step.

    Parameters
    ----------
    model : DecoderModel
        What will be trained, with whatever its modules were rewritten to, where it will be trained:
        operations keep other tensors on a GPU than on a CPU. It is looked at, not changed; its
        blocks are counted as they run without ``torch.compile``.
    objective : Objective
        What is minimised; weights that it holds itself, as a teacher's, are not counted.
    optimizer : OptimizerSettings
        Which optimizers.
    shape : StepShape
        Of the step.
    """
    device = next(model.parameters()).device
    totals = dict.fromkeys(shape.batch.totals(), 1.0)  # some numbers to divide by
    # Raised while a dropped tensor is told of, an interrupt would be lost.
    with stop_requests() as stop, _faking() as live, torch.device(device):
        twin = _twin(model).train()
        pattern = shape.batch
        if device.type == "cuda":
            twin, pattern = without_masks(twin), without_documents(pattern)
        weights = live.now
        optimizers = Optimizers(twin, optimizer)
        state = _make_state(twin, optimizers, live) - weights
        live.peak, before = live.now, len(live.events)
        for _ in range(min(2, shape.micro_batches)):
            with torch.autocast(
                device.type, shape.precision, enabled=shape.precision != torch.float32
            ):
                losses = objective(twin, mapped(pattern, _zeros), totals)
            (losses.total * 1.0).backward()  # type: ignore[no-untyped-call]
            del losses
        gradients = sum(_size(p.grad) for p in twin.parameters() if p.grad is not None)
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        # A CPU reads whether the step is good before it; a GPU decides that in the step.
        is_good = torch.ones((), dtype=torch.bool) if device.type == "cuda" else None
        optimizers.step(1.0, is_good, is_measured=True)
        events = tuple(live.events)
        counted = StepBytes(weights, state, gradients, live.peak, events[:before], events[before:])
    if stop.is_asked:
        raise KeyboardInterrupt
    return counted


def without_masks(twin: DecoderModel) -> DecoderModel:
    """The model with plain causal attention.

    FlexAttention, which GPUs use for masks, keeps as much, and cannot be run on fake tensors.
    """
    twin.model.config = replace(twin.model.config, sliding_window=None, sliding_layers=())
    return twin


def without_documents(batch: DataT) -> DataT:
    """The batch with all documents in one."""
    assert is_dataclass(batch)
    changed = dict[str, Any]()
    for field_ in fields(batch):
        value = getattr(batch, field_.name)
        if field_.name == "documents":
            changed[field_.name] = None
        elif is_dataclass(value):
            changed[field_.name] = without_documents(value)
    return replace(batch, **changed)  # type: ignore[type-var]


def _twin(model: DecoderModel) -> DecoderModel:
    """The same modules with fake tensors in them; for the caller's fake mode to make."""
    memo = dict[int, Any]()
    for parameter in model.parameters():
        fake = torch.empty_like(parameter, requires_grad=False)
        memo[id(parameter)] = nn.Parameter(fake, requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer)
    return copy.deepcopy(model, memo)


def _zeros(tensor: Tensor) -> Tensor:
    return torch.zeros(tensor.shape, dtype=tensor.dtype)


def _make_state(twin: DecoderModel, optimizers: Optimizers, live: _LiveTensors) -> int:
    """Take a first step, which makes the optimizers' state; returns what lives after it."""
    for parameter in twin.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    optimizers.step(1.0)
    return live.now


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@contextmanager
def _faking() -> Iterator[_LiveTensors]:
    # A function that is compiled elsewhere must not be traced here: that would spoil it for good.
    eager = torch.compiler.set_stance("force_eager")
    # A teacher's weights are real; they are looked at, not copied.
    with eager, FakeTensorMode(allow_non_fake_inputs=True), _LiveTensors() as live:
        yield live


class _LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of storages from the operation that makes them until they are dropped."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self.events = list[Event]()
        self._made = 0
        self._known = dict[int, weakref.ref[Any]]()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:  # a view of a real tensor would look like a new one
            for leaf in tree_leaves(out):
                if isinstance(leaf, Tensor):
                    self._see(leaf.untyped_storage())
        return out

    def _see(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._made += 1
        number = self._made

        def dropped(_: object) -> None:
            self.now -= size
            self.events.append((-number, size))
            del self._known[key]

        self._known[key] = weakref.ref(storage, dropped)
        self.now += size
        self.events.append((number, size))
        self.peak = max(self.peak, self.now)
