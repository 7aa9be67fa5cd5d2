"""The processes that train together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """The processes of a run, seen from one of them.

    Attributes
    ----------
    rank : int
        Which one this is, from 0.
    size : int
        How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_leader(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Sums over all processes; each must call it. Does not wait for a GPU."""
        if self.size == 1:
            return list(values)
        totals = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(totals)
        return list(totals.tolist())

    def add(self, values: Tensor) -> Tensor:
        """Sum a tensor over all processes, in place, on the device where it is."""
        if self.size > 1:
            dist.all_reduce(values)
        return values


ALONE = World()


def this_world() -> World:
    """The processes that this one was started with (:mod:`modelwright.pipeline.ranks`)."""
    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size())
    return ALONE
