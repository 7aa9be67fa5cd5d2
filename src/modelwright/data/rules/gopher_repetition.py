"""Gopher's repetition scores (Rae et al. 2021, table A1), as datatrove works them out.

Shares are of all characters of the text, white space too. An n-gram that is there twice counts
once: only what comes again is repetition.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from modelwright.data.rules.lines import WHITESPACE
from modelwright.data.rules.repeats import (
    repeated_parts,
    repeated_sequence_characters,
    repeated_sequences,
    top_sequence_characters,
    word_ends,
)
from modelwright.data.rules.segments import Integers, Numbers, offsets_of, share
from modelwright.data.rules.table import DUPLICATE_NGRAMS, TOP_NGRAMS
from modelwright.data.rules.words import Words


def score_gopher_repetition(texts: pl.Series, words: Words) -> pl.DataFrame:
    """One row a text; the columns of ``gopher-repetition`` in ``table.py``.

    Parameters
    ----------
    texts : polars.Series
        Strings, no nulls.
    words : Words
        Their words.
    """
    characters = texts.str.len_chars().to_numpy().astype(np.int64)
    scores = {**_paragraph_scores(texts, characters), **_line_scores(texts, characters)}
    ends = word_ends(words)
    for repeated in repeated_sequences(words, max(DUPLICATE_NGRAMS)):
        if repeated.n in TOP_NGRAMS:
            top = top_sequence_characters(repeated, words, ends)
            scores[f"top_{repeated.n}_gram_char_fraction"] = share(top, characters)
        if repeated.n in DUPLICATE_NGRAMS:
            again = repeated_sequence_characters(repeated, words, ends)
            scores[f"duplicate_{repeated.n}_gram_char_fraction"] = share(again, characters)
    return pl.DataFrame(scores)


def _paragraph_scores(texts: pl.Series, characters: Integers) -> dict[str, Numbers]:
    """Paragraphs are parted by two newlines or more."""
    parted = texts.str.strip_chars(WHITESPACE).str.replace_all("\n{3,}", "\n\n").str.split("\n\n")
    offsets = offsets_of(parted.list.len().to_numpy())
    parts, repeated = repeated_parts(parted.explode(), offsets)
    return {
        "duplicate_paragraph_fraction": share(parts, np.diff(offsets)),
        "duplicate_paragraph_char_fraction": share(repeated, characters),
    }


def _line_scores(texts: pl.Series, characters: Integers) -> dict[str, Numbers]:
    """Lines are parted by one newline or more, so that an empty one is first or last if at all."""
    parted = texts.str.replace_all("\n{2,}", "\n").str.split("\n")
    offsets = offsets_of(parted.list.len().to_numpy())
    parts, repeated = repeated_parts(parted.explode(), offsets)
    return {
        "duplicate_line_fraction": share(parts, np.diff(offsets)),
        "duplicate_line_char_fraction": share(repeated, characters),
    }
