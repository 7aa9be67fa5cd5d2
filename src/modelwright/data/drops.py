"""Counting what is left out, so that nothing is dropped in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from modelwright.data.decoding import replace_surrogates

PLACES_SHOWN = 3
PLACES_KEPT = 10_000
"""Of each reason; a broken archive can name millions."""


class Drops:
    """Counts of what a stage left out, by reason; the first places of each are told to the user.

    Parameters
    ----------
    note : callable
        Prints one line, usually ``job.progress.note``.
    """

    def __init__(self, note: Callable[[str], None]):
        self._note = note
        self._counts: Counter[str] = Counter()
        self.places: list[tuple[str, str]] = []
        """Reason and place of what was left out, the first 10,000 of each reason."""

    def add(self, reason: str, place: str | None = None) -> None:
        """Count one thing left out; if ``place`` is given, it is kept, and the first are shown."""
        self._counts[reason] += 1
        if place is None:
            return
        if self._counts[reason] <= PLACES_KEPT:
            self.places.append((reason, replace_surrogates(place)[0]))
        if self._counts[reason] <= PLACES_SHOWN:
            self._note(f"dropped: {reason}: {place}")

    @property
    def counts(self) -> dict[str, int]:
        """How many were left out, by reason in alphabetical order."""
        return dict(sorted(self._counts.items()))

    def since(self, before: dict[str, int]) -> dict[str, int]:
        """What was added to the counts after ``before`` was taken."""
        return {
            reason: count - before.get(reason, 0)
            for reason, count in self.counts.items()
            if count > before.get(reason, 0)
        }


def in_words(counts: dict[str, int]) -> str:
    """Counts as one line of text, the largest first: ``'3 x empty, 1 x broken JSON'``."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} x {reason}" for reason, count in ordered)
