"""How much of a document is in an evaluation set, and which words those are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelwright.data.contamination.ngrams import (
    EvaluationNgrams,
    beginning_hashes,
    run_hashes,
    words_left,
)
from modelwright.data.duplicates.mixing import Hashes
from modelwright.data.duplicates.words import Offsets, word_hashes
from modelwright.data.parquet import Columns
from modelwright.data.text_batches import text_batches

CONTAMINATION_COLUMNS: Columns = {
    "contaminated_ngrams": "integer",
    "contamination": "number",
    "contaminated_by": "text",
}
"""Columns of :func:`score_contamination`."""

_SCHEMA = {
    "contaminated_ngrams": pl.Int64,
    "contamination": pl.Float64,
    "contaminated_by": pl.String,
}


@dataclass(frozen=True)
class Overlap:
    """Neighbouring words of a document that are in an evaluation set.

    Attributes
    ----------
    words : str
        As they stand in the document, white space collapsed.
    evaluation_set : str
        Name of the set, of the first n-gram if there are several.
    """

    words: str
    evaluation_set: str


def score_contamination(ngrams: EvaluationNgrams, texts: pl.Series) -> pl.DataFrame:
    """Count the n-grams of each text that are in evaluation sets.

    Parameters
    ----------
    ngrams : EvaluationNgrams
    texts : polars.Series
        Strings, no nulls.

    Returns
    -------
    polars.DataFrame
        One row a text. ``contaminated_ngrams``: words at which an n-gram of an evaluation set
        begins, Int64. ``contamination``: their share of the text's n-grams, Float64 in [0, 1].
        ``contaminated_by``: the set with most of them (of several, the first listed), or "".
    """
    frames = [_score(ngrams, batch) for batch in text_batches(texts)]
    return pl.concat(frames) if frames else pl.DataFrame(schema=_SCHEMA)


def explain_contamination(ngrams: EvaluationNgrams, text: str) -> list[Overlap]:
    """The words of one text that are in evaluation sets, longest stretches as one.

    Parameters
    ----------
    ngrams : EvaluationNgrams
    text : str
    """
    pieces = text.split()
    words, offsets = word_hashes(pl.Series(pieces, dtype=pl.String))
    piece_of = np.repeat(np.arange(len(pieces)), np.diff(offsets))
    found, ends = _hits(ngrams, words, np.array([0, len(words)]))
    overlaps = list[Overlap]()
    start = end = 0
    name = ""
    for place in np.flatnonzero(found >= 0).tolist():
        if place >= end:
            overlaps += _overlap(pieces, piece_of, start, end, name)
            start, name = place, ngrams.sets[ngrams.set_of[found[place]]].name
        end = max(end, int(ends[place]))
    return overlaps + _overlap(pieces, piece_of, start, end, name)


def _overlap(
    pieces: list[str], piece_of: NDArray[np.int64], start: int, end: int, name: str
) -> list[Overlap]:
    if start == end:
        return []
    return [Overlap(" ".join(pieces[piece_of[start] : piece_of[end - 1] + 1]), name)]


def _score(ngrams: EvaluationNgrams, texts: pl.Series) -> pl.DataFrame:
    words, offsets = word_hashes(texts)
    found, _ = _hits(ngrams, words, offsets)
    places = np.flatnonzero(found >= 0)
    owners = np.searchsorted(offsets, places, side="right") - 1
    counts = np.bincount(owners, minlength=len(texts))
    possible = np.maximum(np.diff(offsets) - ngrams.n + 1, 1)
    return pl.DataFrame(
        {
            "contaminated_ngrams": counts,
            "contamination": np.minimum(counts / possible, 1.0),
            "contaminated_by": _most_frequent(ngrams, owners, found[places], len(texts)),
        },
        schema=_SCHEMA,
    )


def _hits(
    ngrams: EvaluationNgrams, words: Hashes, offsets: Offsets
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The place in ``ngrams.hashes`` of what begins at each word or -1, and where that ends."""
    found = np.full(len(words), -1, dtype=np.int64)
    ends = np.zeros(len(words), dtype=np.int64)
    left = words_left(offsets)
    maybe = np.flatnonzero(ngrams.may_begin(beginning_hashes(words)))
    for length in ngrams.lengths:
        starts = maybe[left[maybe] >= length]
        places = ngrams.find(run_hashes(words, starts, length))
        hits = starts[places >= 0]
        found[hits] = places[places >= 0]  # a longer one takes the place of a shorter one
        ends[hits] = hits + length
    return found, ends


def _most_frequent(
    ngrams: EvaluationNgrams, owners: NDArray[np.int64], found: NDArray[np.int64], texts: int
) -> list[str]:
    names = [""] * texts
    keys, counts = np.unique(owners * len(ngrams.sets) + ngrams.set_of[found], return_counts=True)
    for place in np.lexsort((-keys, counts)):  # the last that is written wins: the most, the first
        owner, number = divmod(int(keys[place]), len(ngrams.sets))
        names[owner] = ngrams.sets[number].name
    return names
