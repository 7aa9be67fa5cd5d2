"""Guesses of what comes next, which the model checks in one step instead of many.

A guess changes nothing but the time: the model draws its own token at every place, and the guesses
behind the first one that it does not draw are thrown away (Leviathan et al. 2023, arXiv:2211.17192,
for guesses that are certain of themselves).
"""

from __future__ import annotations

from modelwright.inference.sequence import Sequence

LONGEST, SHORTEST = 4, 2
"""Of the endings that are looked for."""

LOOK_BACK = 1024
"""Tokens in which they are looked for."""


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
