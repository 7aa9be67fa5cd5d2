"""Who holds which blocks of the cache, and which of them several texts share.

A block holds the keys and values of ``BLOCK_SIZE`` neighbouring tokens (Kwon et al. 2023,
arXiv:2309.06180). A full block is known by the hash of its tokens and all before them, so that a
text that begins as another one did takes over what was worked out for that one.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b

from modelwright.inference.sequence import Sequence

BLOCK_SIZE = 16
"""Tokens in a block."""


class BlockManager:
    """Hands out the blocks of one cache.

    Parameters
    ----------
    blocks : int
        How many there are.
    """

    def __init__(self, blocks: int):
        self.blocks = blocks
        self._references = [0] * blocks
        self._hashes: list[bytes | None] = [None] * blocks
        self._block_of = dict[bytes, int]()
        # Blocks that nobody holds: without content worth keeping, the lowest last; and with such,
        # the longest unused first.
        self._empty = list(reversed(range(blocks)))
        self._kept = OrderedDict[int, None]()

    @property
    def free(self) -> int:
        """Blocks that nobody holds."""
        return len(self._empty) + len(self._kept)

    @property
    def usage(self) -> float:
        """Share of the blocks that somebody holds."""
        return 1 - self.free / self.blocks

    def share_prefix(self, sequence: Sequence) -> None:
        """Give a sequence without blocks those that hold its beginning already.

        At least its last token is left to be run, since somebody has to say what comes next.
        """
        # Whoever asks for the log-probabilities of a prompt needs all of it to be run.
        is_scored = sequence.params.prompt_alternatives is not None
        for number in range(0 if is_scored else (sequence.length - 1) // BLOCK_SIZE):
            block = self._block_of.get(self._hash(sequence, number))
            if block is None:
                break
            self._hold(block)
            sequence.blocks.append(block)
        sequence.remembered = len(sequence.blocks)
        sequence.computed = sequence.drafted = sequence.remembered * BLOCK_SIZE

    def reserve(self, sequence: Sequence, length: int) -> bool:
        """Make room for the first ``length`` tokens; False if there isn't enough."""
        missing = -(-length // BLOCK_SIZE) - len(sequence.blocks)
        if missing > self.free:
            return False
        for _ in range(missing):
            block = self._take()
            self._references[block] = 1
            sequence.blocks.append(block)
        return True

    def remember(self, sequence: Sequence, length: int) -> None:
        """Make the full blocks of the first ``length`` tokens known to others.

        They may be so before the step that fills them, as it writes all before it reads any.
        """
        for number in range(sequence.remembered, length // BLOCK_SIZE):
            block, name = sequence.blocks[number], self._hash(sequence, number)
            if name not in self._block_of and self._hashes[block] is None:
                self._block_of[name] = block
                self._hashes[block] = name
        sequence.remembered = max(sequence.remembered, length // BLOCK_SIZE)

    def release(self, sequence: Sequence) -> None:
        """Take a sequence's blocks back; what full ones hold is kept until the room is needed."""
        # Ends before beginnings: the end of a text is less likely to be shared.
        for block in reversed(sequence.blocks):
            self._references[block] -= 1
            if not self._references[block]:
                if self._hashes[block] is None:
                    self._empty.append(block)
                else:
                    self._kept[block] = None
        sequence.blocks = []
        sequence.computed = sequence.drafted = sequence.remembered = 0

    def forget(self) -> None:
        """Forget what blocks hold; those that are held stay so."""
        self._block_of.clear()
        self._hashes = [None] * self.blocks
        self._empty += self._kept
        self._kept.clear()

    def check(self, running: Iterable[Sequence]) -> None:
        """Assert that every block is held by who has it in the table, or free, and never both."""
        held = [0] * self.blocks
        for sequence in running:
            for block in sequence.blocks:
                held[block] += 1
        assert held == self._references, "references differ from the tables"
        free = sorted([*self._empty, *self._kept])
        assert free == [block for block, count in enumerate(held) if not count], "lost blocks"
        assert all(self._hashes[block] == name for name, block in self._block_of.items())
        assert all(self._hashes[block] is not None for block in self._kept)

    def _hold(self, block: int) -> None:
        self._references[block] += 1
        self._kept.pop(block, None)

    def _take(self) -> int:
        if self._empty:
            return self._empty.pop()
        block, _ = self._kept.popitem(last=False)
        name = self._hashes[block]
        if name is not None:
            del self._block_of[name]
            self._hashes[block] = None
        return block

    def _hash(self, sequence: Sequence, number: int) -> bytes:
        """The name of a sequence's block: a hash of its tokens and the name of the one before."""
        names = sequence.block_hashes
        while len(names) <= number:
            start = len(names) * BLOCK_SIZE
            tokens = array("q", sequence.tokens[start : start + BLOCK_SIZE]).tobytes()
            before = names[-1] if names else (sequence.adapter or "").encode()
            names.append(blake2b(before + tokens, digest_size=16).digest())
        return names[number]
