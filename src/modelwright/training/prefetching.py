"""Batches made ahead: the next step's are read while the present one is computed."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic

import torch
from torch import Tensor

from modelwright.training.batches import Batches
from modelwright.training.micro_batch import BatchT, mapped


class PrefetchedBatches(Generic[BatchT]):
    """Gives the batches of another source, and makes those of the next step in a thread.

    Batches are a pure function of the step, so nothing has to be remembered for resume.

    Parameters
    ----------
    source : Batches
        Where they come from.
    device : torch.device
        For CUDA they are put into pinned memory, from which they are copied asynchronously.
    """

    def __init__(self, source: Batches[BatchT], device: torch.device):
        self.source, self.is_pinned = source, device.type == "cuda"
        self.steps_per_epoch = source.steps_per_epoch
        self.tokens_per_step = source.tokens_per_step
        self.has_one_shape, self.micro_batches = source.has_one_shape, source.micro_batches
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self.can_be_made_ahead = source.can_be_made_ahead
        self._next: tuple[int, Future[list[BatchT]]] | None = None

    def at(self, step: int) -> list[BatchT]:
        """The micro-batches of that optimizer step."""
        if self._next is not None and self._next[0] == step:
            batches = self._next[1].result()
        else:
            batches = self._make(step)
        if self.can_be_made_ahead:
            self._next = step + 1, self._thread.submit(self._make, step + 1)
        return batches

    def largest(self) -> BatchT:
        """A micro-batch that takes as much memory as any."""
        return self.source.largest()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _make(self, step: int) -> list[BatchT]:
        batches = self.source.at(step)
        return [mapped(batch, _pin) if self.is_pinned else batch for batch in batches]


def _pin(tensor: Tensor) -> Tensor:
    return tensor.pin_memory()
