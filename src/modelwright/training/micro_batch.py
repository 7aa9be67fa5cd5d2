"""What goes through the model at once: data classes of tensors, one kind for each kind of data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

Totals = Mapping[str, float]
"""What losses are divided by, as ``{"tokens": 4096.0}``: sums over all micro-batches and processes
of an optimizer step."""


class MicroBatch(Protocol):
    """A data class of tensors, plain values and such data classes.

    Attributes
    ----------
    tokens : Tensor
        All ids that go through the model, which are counted.
    weights : Tensor
        How much each of its losses counts; a batch of which all are 0 changes nothing.
    documents : Tensor or None
        The document of each id, where tokens may only look at their own.
    """

    @property
    def tokens(self) -> Tensor: ...

    @property
    def weights(self) -> Tensor: ...

    @property
    def documents(self) -> Tensor | None: ...

    def totals(self) -> dict[str, float]:
        """Its part of the step's :data:`Totals`; the same names in every batch of a kind."""


BatchT = TypeVar("BatchT", bound=MicroBatch)
DataT = TypeVar("DataT")


def mapped(batch: DataT, change: Callable[[Tensor], Tensor]) -> DataT:
    """The batch with every tensor in it changed."""
    assert is_dataclass(batch)
    changed = dict[str, Any]()
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            changed[field.name] = change(value)
        elif is_dataclass(value):
            changed[field.name] = mapped(value, change)
    return replace(batch, **changed)  # type: ignore[type-var]


def moved(batch: DataT, device: torch.device) -> DataT:
    """The batch on another device."""
    return mapped(batch, lambda tensor: tensor.to(device, non_blocking=True))


def without_weight(batch: BatchT) -> BatchT:
    """The batch as filling that changes nothing."""
    return replace(batch, weights=torch.zeros_like(batch.weights))  # type: ignore[type-var]


def has_weight(batch: MicroBatch) -> bool:
    """Whether a batch is more than filling."""
    return bool(batch.weights.any())


def summed_totals(batches: Sequence[MicroBatch]) -> dict[str, float]:
    """The totals of several micro-batches."""
    sums = dict[str, float]()
    for batch in batches:
        for name, value in batch.totals().items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def token_count(batches: Sequence[MicroBatch]) -> int:
    """Ids that go through the model, filling left out."""
    return sum(batch.tokens.numel() for batch in batches if has_weight(batch))
