"""Examples as ids, and the order in which they are seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic

import numpy as np
import numpy.typing as npt

from modelwright.tokens.order import Permutation
from modelwright.training.micro_batch import BatchT

POOL_STEPS = 16
"""Examples are shuffled, then sorted by length inside pools of so many steps."""


@dataclass(frozen=True)
class TokenizedExample:
    """An example as ids (uint32, one dimension), and which of them are trained on (bool).

    ``is_conversation`` says whether the chat template rendered it.
    """

    ids: npt.NDArray[np.uint32]
    trained: npt.NDArray[np.bool_]
    is_conversation: bool

    @classmethod
    def of(
        cls, ids: Sequence[int], trained: Sequence[bool], is_conversation: bool
    ) -> TokenizedExample:
        """From plain sequences of equal length."""
        id_array, trained_array = np.array(ids, dtype=np.uint32), np.array(trained, dtype=np.bool_)
        return cls(id_array, trained_array, is_conversation)


class ExampleBatches(Generic[BatchT]):
    """Batches of examples of similar length: shuffled, and sorted by length inside pools of steps.

    Parameters
    ----------
    lengths : sequence of int
        Ids of each example, at least one; of a pair or group, of all its sequences together.
    rows : int
        Examples in an optimizer step; at most as many as there are.
    micro_rows : int
        Examples in a micro-batch.
    seed : int
        Sets the order.
    make : callable
        ``make(step, part)`` makes the micro-batch of those in ``part``, a slice of the examples of
        the step, which are given by number.
    """

    has_one_shape = False
    can_be_made_ahead = True

    def __init__(
        self,
        lengths: Sequence[int],
        rows: int,
        micro_rows: int,
        seed: int,
        make: Callable[[Sequence[int], slice], BatchT],
    ):
        self.lengths, self.seed, self.make = lengths, seed, make
        self.rows = min(rows, len(lengths))
        self.micro_rows = min(micro_rows, self.rows)
        self.micro_batches = -(-self.rows // self.micro_rows)
        self.steps_per_epoch = len(lengths) // self.rows
        self.tokens_per_step = max(1, round(self.rows * sum(lengths) / len(lengths)))
        self._epoch_order = lru_cache(maxsize=2)(self._order)

    def at(self, step: int) -> list[BatchT]:
        """The micro-batches of that optimizer step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        chosen = self._epoch_order(epoch)[place]
        return [
            self.make(chosen, slice(start, start + self.micro_rows))
            for start in range(0, self.rows, self.micro_rows)
        ]

    def largest(self) -> BatchT:
        """The longest examples in one micro-batch."""
        numbers = range(len(self.lengths))
        longest = sorted(numbers, key=lambda index: -self.lengths[index])[: self.rows]
        return self.make(longest, slice(0, self.micro_rows))

    def _order(self, epoch: int) -> list[list[int]]:
        """The examples of every step of an epoch."""
        shuffle = Permutation(len(self.lengths), self.seed, epoch)
        order = [shuffle[index] for index in range(len(self.lengths))]
        pool = POOL_STEPS * self.rows
        steps: list[list[int]] = []
        for start in range(0, len(order), pool):
            part = sorted(order[start : start + pool], key=lambda index: self.lengths[index])
            steps += [part[i : i + self.rows] for i in range(0, len(part), self.rows)]
        steps = [step for step in steps if len(step) == self.rows]
        mix = Permutation(len(steps), self.seed, -1 - epoch)
        return [steps[mix[index]] for index in range(len(steps))]
