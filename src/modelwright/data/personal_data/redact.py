"""Putting typed placeholders in the place of personal data and secrets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from modelwright.data.personal_data.detect import find
from modelwright.data.personal_data.kinds import PLACEHOLDERS


@dataclass(frozen=True)
class Redacted:
    """A text after redaction.

    Parameters
    ----------
    text : str
        The text with placeholders.
    counts : dict
        How many were put in, by kind, in alphabetical order; kinds that were not found are not in
        it.
    """

    text: str
    counts: dict[str, int]


def redact(text: str, kinds: Collection[str] | None = None) -> Redacted:
    """Put ``<EMAIL>``, ``<PHONE>`` and so on in the place of what :func:`find` finds.

    What a replacement uncovers (a number that ran into its neighbour) is replaced as well, so that
    nothing is found in the result and redacting twice changes nothing. All other characters stay.

    Parameters
    ----------
    text : str
        Any text.
    kinds : collection of str, optional
        Names out of :data:`~modelwright.data.personal_data.kinds.KINDS`; all by default.

    Returns
    -------
    Redacted
        The text and the counts.

    Raises
    ------
    UsageError
        If a kind is not known.
    """
    counts: Counter[str] = Counter()
    # ends: each round turns at least one character that is in no placeholder into a placeholder
    while matches := find(text, kinds):
        pieces, place = [], 0
        for match in matches:
            pieces += [text[place : match.start], PLACEHOLDERS[match.kind]]
            place = match.end
        text = "".join(pieces) + text[place:]
        counts.update(match.kind for match in matches)
    return Redacted(text, dict(sorted(counts.items())))
