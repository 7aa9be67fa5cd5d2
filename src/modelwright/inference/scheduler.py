"""Continuous batching: who waits, who runs, and who takes part in the next step."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

from modelwright.inference.sequence import Sequence, SequenceStatus


@dataclass(frozen=True)
class Batch:
    """The sequences of one step.

    Attributes
    ----------
    prefill : list of Sequence
        New ones, whose whole prompt is run.
    decode : list of Sequence
        Running ones, whose last token is run. Both are in the order of their slots.
    """

    prefill: list[Sequence]
    decode: list[Sequence]


class Scheduler:
    """Hands out slots, first come first served.

    Parameters
    ----------
    slots : int
        Most sequences that run at once.
    prefill_tokens : int
        Most prompt tokens (padding included) that are run in one step, so that a burst of new
        prompts cannot hold up the running sequences for long. One prompt is always let in.
    """

    def __init__(self, slots: int, prefill_tokens: int):
        self.prefill_tokens = prefill_tokens
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self._free = list(range(slots))  # a heap: low slots first keeps the rows together

    @property
    def has_work(self) -> bool:
        """Whether any sequence waits or runs."""
        return bool(self.waiting or self.running)

    def add(self, sequence: Sequence) -> None:
        """Put a new sequence at the end of the queue."""
        self.waiting.append(sequence)

    def schedule(self) -> Batch:
        """Decide the next step: all running sequences, and the waiting ones that fit."""
        decode = sorted(self.running, key=_slot)
        prefill = self._admit()
        self.running += prefill
        return Batch(sorted(prefill, key=_slot), decode)

    def remove(self, sequence: Sequence) -> None:
        """Take out a sequence that ended or was cancelled, and free its slot."""
        if sequence.status is SequenceStatus.WAITING:
            self.waiting.remove(sequence)
        elif sequence.slot is not None:
            self.running.remove(sequence)
            heapq.heappush(self._free, sequence.slot)
            sequence.slot = None

    def _admit(self) -> list[Sequence]:
        admitted: list[Sequence] = []
        longest = 0
        while self.waiting and self._free:
            longest = max(longest, self.waiting[0].length)
            if admitted and longest * (len(admitted) + 1) > self.prefill_tokens:
                break
            sequence = self.waiting.popleft()
            sequence.slot = heapq.heappop(self._free)
            sequence.status = SequenceStatus.RUNNING
            sequence.timing.start()
            admitted.append(sequence)
        return admitted


def _slot(sequence: Sequence) -> int:
    return -1 if sequence.slot is None else sequence.slot
