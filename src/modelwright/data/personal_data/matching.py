"""The parts of a detector: where it may look, and what it finds there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Span = tuple[int, int]
CUE_WINDOW = 48  # characters in front of a value in which a cue word counts


@dataclass(frozen=True)
class Match:
    """Personal data or a secret in a text.

    Parameters
    ----------
    kind : str
        Name of the kind.
    start, end : int
        Its place in characters, ``end`` excluded.
    """

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Detector:
    """How one kind is found.

    Parameters
    ----------
    kind : str
        Name of the kind.
    gate : str
        Regular expression for Polars (Rust syntax, no look-around) that every text with a match
        contains: ``spans`` sees only the texts that pass, and most pass none.
    spans : callable
        Gives the places of the kind in a text, in order.
    """

    kind: str
    gate: str
    spans: Callable[[str], Iterator[Span]]


def shape_spans(
    pattern: re.Pattern[str],
    accept: Callable[[str], bool] | None = None,
    group: int = 0,
) -> Callable[[str], Iterator[Span]]:
    """Make a ``spans`` function of a regular expression and a check of what it matched.

    Parameters
    ----------
    pattern : re.Pattern
        Must be linear on any text: bounded repetitions, a boundary in front.
    accept : callable, optional
        Says whether the matched group is one.
    group : int
        The group that is the value.
    """

    def spans(text: str) -> Iterator[Span]:
        for match in pattern.finditer(text):
            if accept is None or accept(match[group]):
                yield match.span(group)

    return spans


def has_cue(cue: re.Pattern[str], text: str, start: int) -> bool:
    """Whether the pattern is found in the few words in front of ``start``."""
    return cue.search(text, max(0, start - CUE_WINDOW), start) is not None
