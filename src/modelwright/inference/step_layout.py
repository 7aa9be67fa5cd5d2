"""Where the tokens of one step lie, in the batch and in the cache."""

from __future__ import annotations

from modelwright.inference.kv_cache import slots_of
from modelwright.inference.scheduler import Part


class StepLayout:
    """The tokens of a step in one row, as plain lists; each network makes of them what it needs.

    Parameters
    ----------
    parts : list of Part
        Those of one token first.

    Attributes
    ----------
    parts : list of Part
        The same.
    blocks : list of list of int
        The block table of each part's sequence.
    tokens, positions, slots, rows : list of int
        Of each token: its id, its place in its sequence and in the cache, the number of its part.
    """

    def __init__(self, parts: list[Part]):
        self.parts = parts
        self.blocks = [part.sequence.blocks for part in parts]
        self.tokens, self.positions = list[int](), list[int]()
        self.slots, self.rows = list[int](), list[int]()
        for row, part in enumerate(parts):
            self.tokens += part.tokens
            self.positions += range(part.start, part.end)
            self.slots += slots_of(part.sequence.blocks, part.start, part.count)
            self.rows += [row] * part.count
