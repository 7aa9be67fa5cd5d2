"""Where the tokens of one step lie, in the batch and in the cache."""

from __future__ import annotations

from functools import cached_property
from itertools import chain

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
    """

    def __init__(self, parts: list[Part]):
        self.parts = parts
        self.blocks = [part.sequence.blocks for part in parts]

    @cached_property
    def tokens(self) -> list[int]:
        """The id of each token."""
        return list(chain.from_iterable(part.tokens for part in self.parts))

    @cached_property
    def positions(self) -> list[int]:
        """The place of each token in its sequence."""
        return list(chain.from_iterable(range(part.start, part.end) for part in self.parts))

    @cached_property
    def slots(self) -> list[int]:
        """The place of each token in the cache."""
        each = (slots_of(part.sequence.blocks, part.start, part.count) for part in self.parts)
        return list(chain.from_iterable(each))

    @cached_property
    def rows(self) -> list[int]:
        """The number of each token's part."""
        return [row for row, part in enumerate(self.parts) for _ in range(part.count)]
