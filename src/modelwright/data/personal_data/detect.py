"""Finding personal data and secrets in one text, and counting them in a batch of texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import polars as pl

from modelwright.core.errors import UsageError
from modelwright.core.nearest import nearest
from modelwright.data.personal_data import (
    credentials,
    cued,
    emails,
    network,
    numbers,
    phones,
    streets,
    tokens,
)
from modelwright.data.personal_data.kinds import COLUMNS, KINDS, PLACEHOLDERS
from modelwright.data.personal_data.matching import Detector, Match

__all__ = ["DETECTORS", "Match", "count_personal_data", "find"]

_ALL = (
    *credentials.DETECTORS,
    *cued.DETECTORS,
    *emails.DETECTORS,
    *network.DETECTORS,
    *numbers.DETECTORS,
    *phones.DETECTORS,
    *streets.DETECTORS,
    *tokens.DETECTORS,
)
_RANK = {kind.name: rank for rank, kind in enumerate(KINDS)}
DETECTORS: tuple[Detector, ...] = tuple(sorted(_ALL, key=lambda each: _RANK[each.kind]))

_PLACEHOLDER = re.compile("|".join(map(re.escape, PLACEHOLDERS.values())))


def find(text: str, kinds: Collection[str] | None = None) -> list[Match]:
    """Find personal data and secrets in a text.

    Parameters
    ----------
    text : str
        Any text.
    kinds : collection of str, optional
        Names out of :data:`~modelwright.data.personal_data.kinds.KINDS`; all by default.

    Returns
    -------
    list of Match
        In order, without overlaps. Where kinds overlap the more specific wins, which is the earlier
        in ``KINDS``; of one kind the longer. Nothing that touches a placeholder is found.

    Raises
    ------
    UsageError
        If a kind is not known.
    """
    (candidates,) = _open_gates(pl.Series([text], dtype=pl.String), _detectors_of(kinds))
    return _find(text, candidates)


def count_personal_data(texts: pl.Series, kinds: Collection[str] | None = None) -> pl.DataFrame:
    """Count personal data and secrets by kind.

    Polars first finds the texts that can have a kind at all (``Detector.gate``); only these are
    searched, so that most text passes at the speed of a few regular expressions in Rust.

    Parameters
    ----------
    texts : polars.Series of String
        Without nulls.
    kinds : collection of str, optional
        As in :func:`find`.

    Returns
    -------
    polars.DataFrame
        A row a text, a UInt32 column a kind, named as in ``COLUMNS`` and in the order of ``KINDS``.

    Raises
    ------
    UsageError
        If a kind is not known.
    """
    detectors = _detectors_of(kinds)
    counts = {detector.kind: [0] * len(texts) for detector in detectors}
    for row, candidates in enumerate(_open_gates(texts, detectors)):
        if candidates:
            for kind, count in Counter(m.kind for m in _find(texts[row], candidates)).items():
                counts[kind][row] = count
    return pl.DataFrame(
        {COLUMNS[kind]: pl.Series(column, dtype=pl.UInt32) for kind, column in counts.items()}
    )


def _detectors_of(kinds: Collection[str] | None) -> tuple[Detector, ...]:
    if kinds is None:
        return DETECTORS
    for kind in sorted(kinds):
        if kind not in _RANK:
            raise UsageError(
                f"there is no kind of personal data named '{kind}'",
                fix=f"did you mean '{nearest(kind, _RANK)}'? Known are: {', '.join(_RANK)}",
            )
    return tuple(detector for detector in DETECTORS if detector.kind in kinds)


def _open_gates(texts: pl.Series, detectors: Sequence[Detector]) -> list[list[Detector]]:
    """For each text the detectors that can find something in it."""
    if not detectors:
        return [[] for _ in range(len(texts))]
    text = pl.col("text")
    gates = texts.to_frame("text").select(
        text.str.contains(detector.gate).alias(str(number))
        for number, detector in enumerate(detectors)
    )
    return [
        [detector for detector, opened in zip(detectors, row, strict=True) if opened]
        for row in gates.iter_rows()
    ]


def _find(text: str, detectors: Iterable[Detector]) -> list[Match]:
    """Search with the detectors, which are in the order of ``KINDS``."""
    candidates = [
        Match(detector.kind, start, end)
        for detector in detectors
        for start, end in sorted(detector.spans(text), key=lambda span: span[0] - span[1])
    ]
    if not candidates:
        return []
    taken = [match.span() for match in _PLACEHOLDER.finditer(text)]
    return _without_overlaps(candidates, taken, len(text))


def _without_overlaps(
    candidates: Sequence[Match], taken: Sequence[tuple[int, int]], length: int
) -> list[Match]:
    """Keep each candidate that touches neither an earlier one nor what is taken already."""
    occupied = bytearray(length)
    for start, end in taken:
        occupied[start:end] = b"\1" * (end - start)
    kept = []
    for match in candidates:
        if occupied.find(1, match.start, match.end) < 0:
            occupied[match.start : match.end] = b"\1" * (match.end - match.start)
            kept.append(match)
    return sorted(kept, key=lambda match: match.start)
