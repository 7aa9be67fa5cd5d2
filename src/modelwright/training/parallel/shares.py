"""Each process's share of the batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from modelwright.training.batches import Batch, Batches
from modelwright.training.parallel.world import World


class SharedBatches:
    """One process's micro-batches out of those of a source.

    Parameters
    ----------
    source : Batches
        Of whole steps, the same in every process.
    world : World
        Whose share.
    """

    def __init__(self, source: Batches, world: World):
        self.source, self.world = source, world
        self.steps_per_epoch, self.tokens_per_step = source.steps_per_epoch, source.tokens_per_step
        self.has_one_shape, self.longest_row = source.has_one_shape, source.longest_row

    def at(self, step: int) -> list[Batch]:
        """The micro-batches of this process in that step."""
        return share(self.source.at(step), self.world)


def share(batches: Sequence[Batch], world: World) -> list[Batch]:
    """Every so many-th batch; as many for each process, filled up with some of weight zero.

    The processes talk to each other in every forward and backward pass, so they must do the same
    number of them.
    """
    own = list(batches[world.rank :: world.size])
    if len(own) < -(-len(batches) // world.size):
        own.append(_without_weight(batches[0]))
    return own


def micro_rows(rows: int, largest: int, world: World) -> int:
    """Rows of a micro-batch so that ``rows`` of a step go to all processes."""
    return max(1, min(largest, -(-rows // world.size)))


def has_weight(batch: Batch) -> bool:
    """Whether a batch is more than filling."""
    return bool(batch.weights.any())


def _without_weight(batch: Batch) -> Batch:
    return replace(batch, weights=torch.zeros_like(batch.weights))
