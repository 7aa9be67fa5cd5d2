"""Guesses of what comes next, which the model checks in one step instead of many.

A guess changes nothing but the time: the model draws its own token at every place, and the guesses
behind the first one that it does not draw are thrown away (Leviathan et al. 2023, arXiv:2211.17192,
for guesses that are certain of themselves).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from modelwright.inference.block_manager import BlockManager
from modelwright.inference.scheduler import Part
from modelwright.inference.sequence import Sequence

Drafter = Callable[[list[Part], list[int]], list[list[int]]]
"""Guesses for the parts of a step: the parts and the most guesses for each, 0 for many, go in; the
guesses for each come out. The blocks of a part's sequence have room for its most."""

LONGEST, SHORTEST = 4, 2
"""Of the endings that are looked for."""

LOOK_BACK = 1024
"""Tokens in which they are looked for."""


class Speculation:
    """Puts guesses behind the tokens of a step.

    They are in nobody's way: they take what a step leaves of its tokens and of the room.

    Parameters
    ----------
    drafter : callable
        Makes the guesses.
    most : int
        Most guesses behind a token.
    context_length : int
        Longest sequence.
    blocks : BlockManager
        The room.
    """

    def __init__(self, drafter: Drafter, most: int, context_length: int, blocks: BlockManager):
        self._drafter, self._most = drafter, most
        self._context_length, self._blocks = context_length, blocks

    def extend(self, parts: list[Part], tokens: int) -> list[Part]:
        """The parts of a step with guesses, those of one token first.

        ``tokens`` are what may be run beside them.
        """
        speaking = sum(part.count == 1 for part in parts)
        share = tokens // speaking if speaking else 0
        most = [self._most_of(part, share) for part in parts]
        drafts = self._drafter(parts, most)
        extended = [
            replace(part, count=part.count + len(draft), draft=tuple(draft))
            for part, draft in zip(parts, drafts, strict=True)
        ]
        return sorted(extended, key=lambda part: part.count > 1)

    def _most_of(self, part: Part, share: int) -> int:
        """How many guesses may follow a part; there is room for so many then."""
        sequence = part.sequence
        if part.count > 1 or not part.is_last:
            return 0
        # The token behind the guesses comes out of this step, too.
        left = sequence.params.max_tokens - len(sequence.generated) - 1
        context = self._context_length - sequence.length - 1
        most = max(0, min(self._most, share, left, context))
        return most if self._blocks.reserve(sequence, part.end + most) else 0


def guess_repeated(parts: list[Part], most: list[int]) -> list[list[int]]:
    """Guesses from what each text repeats: a :data:`Drafter`."""
    return [
        repeated(part.sequence, tokens) if tokens else []
        for part, tokens in zip(parts, most, strict=True)
    ]


def repeated(sequence: Sequence, tokens: int) -> list[int]:
    """What followed where the text ended in the same words before, up to so many tokens.

    The longest ending that has come before counts, and of several places the last (prompt look-up
    decoding). Summaries, code and answers that quote the prompt are full of such places.
    """
    text = sequence.tokens[-LOOK_BACK:]
    for length in range(min(LONGEST, len(text) - 1), SHORTEST - 1, -1):
        ending = text[-length:]
        for start in range(len(text) - length - 1, -1, -1):
            if text[start] == ending[0] and text[start : start + length] == ending:
                return text[start + length : start + length + tokens]
    return []
