"""Each process's share of the batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

from modelwright.training.batches import Batches
from modelwright.training.micro_batch import BatchT, without_weight
from modelwright.training.parallel.world import World


class SharedBatches(Generic[BatchT]):
    """One process's micro-batches out of those of a source.

    Parameters
    ----------
    source : Batches
        Of whole steps, the same in every process.
    world : World
        Whose share.
    """

    def __init__(self, source: Batches[BatchT], world: World):
        self.source, self.world = source, world
        self.steps_per_epoch, self.tokens_per_step = source.steps_per_epoch, source.tokens_per_step
        self.has_one_shape = source.has_one_shape
        self.can_be_made_ahead = source.can_be_made_ahead
        self.micro_batches = -(-source.micro_batches // world.size)

    def at(self, step: int) -> list[BatchT]:
        """The micro-batches of this process in that step."""
        return share(self.source.at(step), self.world)

    def largest(self) -> BatchT:
        """A micro-batch that takes as much memory as any."""
        return self.source.largest()


def share(batches: Sequence[BatchT], world: World) -> list[BatchT]:
    """Every so many-th batch; as many for each process, filled up with some of weight zero.

    The processes talk to each other in every forward and backward pass, so they must do the same
    number of them.
    """
    own = list(batches[world.rank :: world.size])
    if len(own) < -(-len(batches) // world.size):
        own.append(without_weight(batches[0]))
    return own


def micro_rows(rows: int, largest: int, world: World) -> int:
    """Rows of a micro-batch so that ``rows`` of a step go to all processes."""
    return max(1, min(largest, -(-rows // world.size)))
