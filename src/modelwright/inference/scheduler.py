"""Continuous batching: who waits, who runs, and which tokens the next step works on.

There is no phase of prompts and none of answers: a sequence has tokens, some of them are in the
cache, and each step hands out a budget of tokens to run (as vLLM's scheduler has it since 0.8).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from modelwright.inference.block_manager import BlockManager
from modelwright.inference.sequence import Sequence, SequenceStatus


@dataclass(frozen=True)
class Part:
    """What a step runs of one sequence: ``count`` tokens from the one at ``start`` on.

    The last of them may be a ``draft``: tokens that are guessed to come next (``speculation.py``).
    One that ``joins`` comes out of the queue, and may look at blocks that others fill in this very
    step.
    """

    sequence: Sequence
    start: int
    count: int
    draft: tuple[int, ...] = ()
    joins: bool = False

    @property
    def end(self) -> int:
        """Where the part ends, exclusive."""
        return self.start + self.count

    @property
    def is_last(self) -> bool:
        """Whether the sequence's next token comes out of this step."""
        return self.end - len(self.draft) == self.sequence.length

    @property
    def tokens(self) -> list[int]:
        """The tokens themselves."""
        return [*self.sequence.tokens[self.start : self.end], *self.draft]


class Scheduler:
    """Hands out steps and room in the cache, first come first served.

    Parameters
    ----------
    blocks : BlockManager
        The room; the longest sequence alone has to fit.
    max_sequences : int
        Most sequences that run at once.
    step_tokens : int
        Most tokens in one step, so that a long prompt cannot hold up the running sequences for
        long: it is run in pieces.

    Attributes
    ----------
    waiting, running : deque of Sequence, list of Sequence
        In the order in which they came.
    preemptions : int
        How often a sequence lost its room to an older one, and had to be run again.
    prefix_queries, prefix_hits : int
        Tokens of all admitted texts so far, and those of them that were in the cache already.
    """

    def __init__(self, blocks: BlockManager, max_sequences: int, step_tokens: int):
        self.blocks = blocks
        self.max_sequences, self.step_tokens = max_sequences, step_tokens
        self.waiting = deque[Sequence]()
        self.running: list[Sequence] = []
        self.preemptions = self.prefix_queries = self.prefix_hits = 0

    @property
    def has_work(self) -> bool:
        """Whether any sequence waits or runs."""
        return bool(self.waiting or self.running)

    def add(self, sequence: Sequence) -> None:
        """Put a new sequence at the end of the queue."""
        self.waiting.append(sequence)

    def schedule(self) -> list[Part]:
        """Decide the next step; those that need a single token come first."""
        before = self.preemptions
        parts = self._continue_running()
        for part in parts:
            self.blocks.remember(part.sequence, part.end)
        if self.preemptions == before:
            parts += self._admit(self.step_tokens - sum(part.count for part in parts))
        return sorted(parts, key=lambda part: part.count > 1)

    def remove(self, sequence: Sequence) -> None:
        """Take out a sequence that ended or was cancelled, and free its room."""
        if sequence.status is SequenceStatus.WAITING:
            self.waiting.remove(sequence)
        elif sequence.status is SequenceStatus.RUNNING:
            self.running.remove(sequence)
            self.blocks.release(sequence)

    def _continue_running(self) -> list[Part]:
        # Answers before prompts, so that those that speak already do so in every step.
        parts = dict[Sequence, Part]()
        budget = self.step_tokens
        for sequence in sorted(self.running, key=lambda one: one.missing > 1):
            count = min(sequence.missing, budget)
            if not count or sequence.status is not SequenceStatus.RUNNING:
                continue
            while not self.blocks.reserve(sequence, sequence.computed + count):
                newest = self.running[-1]
                given_up = parts.pop(newest, None)
                budget += given_up.count if given_up else 0
                self._preempt(newest)
                if newest is sequence:
                    break
            else:
                parts[sequence] = Part(sequence, sequence.computed, count)
                budget -= count
        return list(parts.values())

    def _admit(self, budget: int) -> list[Part]:
        parts = []
        while self.waiting and budget and len(self.running) < self.max_sequences:
            sequence = self.waiting[0]
            self.blocks.share_prefix(sequence)
            count = min(sequence.missing, budget)
            if not self.blocks.reserve(sequence, sequence.computed + count):
                self.blocks.release(sequence)
                break
            self.waiting.popleft()
            self.running.append(sequence)
            sequence.status = SequenceStatus.RUNNING
            sequence.timing.start()
            if not sequence.generated and sequence.params.prompt_alternatives is None:
                self.prefix_queries += sequence.length
                self.prefix_hits += sequence.computed
            parts.append(Part(sequence, sequence.computed, count, joins=True))
            # At once, so that equal prompts which come together are run once.
            self.blocks.remember(sequence, parts[-1].end)
            budget -= count
        return parts

    def _preempt(self, sequence: Sequence) -> None:
        """Take a sequence's room; what it said stays, and is run again when there is room."""
        self.running.remove(sequence)
        self.blocks.release(sequence)
        sequence.status = SequenceStatus.WAITING
        self.waiting.appendleft(sequence)
        self.preemptions += 1
