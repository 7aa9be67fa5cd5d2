"""Shares of kinds of characters, as in the English default of NVIDIA NeMo Curator.

All but the length of words are counted in ASCII; a URL ends, as there, before its path.
"""

from __future__ import annotations

import string

import numpy as np
import polars as pl

from modelwright.data.rules.segments import (
    Integers,
    Numbers,
    offsets_of,
    segment_maxima,
    segment_sums,
    share,
)
from modelwright.data.rules.words import Words

_URL = r"https?://[A-Za-z0-9$\-_@.&+!*(),%]+"
_ORDINARY = string.ascii_letters + string.digits + "\n?!,."
_WHITESPACE = "\t\n\r\b "
_PARENTHESES = "()[]{}"


def score_curator(texts: pl.Series, pieces: Words) -> pl.DataFrame:
    """One row a text; the columns of ``curator`` in ``table.py``.

    Parameters
    ----------
    texts : polars.Series
        Strings, no nulls.
    pieces : Words
        Their words between white space.
    """
    characters = texts.str.len_chars().to_numpy().astype(np.int64)
    counts = _byte_counts(texts)

    def share_of(kind: str) -> Numbers:
        return share(counts[:, list(kind.encode())].sum(axis=1), characters)

    lengths = pieces.vocabulary.str.len_chars().to_numpy().astype(np.int64)
    return pl.DataFrame(
        {
            "symbol_char_fraction": np.where(characters > 0, 1 - share_of(_ORDINARY), 0.0),
            "digit_char_fraction": share_of(string.digits),
            "url_char_fraction": share(_url_characters(texts), characters),
            "whitespace_char_fraction": share_of(_WHITESPACE),
            "parenthesis_char_fraction": share_of(_PARENTHESES),
            "longest_word": segment_maxima(lengths[pieces.ids], pieces.offsets),
        }
    )


def _byte_counts(texts: pl.Series) -> Integers:
    """How often each byte is in each text: shape (texts, 256)."""
    counts = np.zeros((len(texts), 256), dtype=np.int64)
    for row, text in enumerate(texts.to_list()):
        counts[row] = np.bincount(np.frombuffer(text.encode(), dtype=np.uint8), minlength=256)
    return counts


def _url_characters(texts: pl.Series) -> Integers:
    urls = texts.str.extract_all(_URL)
    sizes = urls.explode(empty_as_null=False).str.len_chars().to_numpy()
    return segment_sums(sizes, offsets_of(urls.list.len().to_numpy()))
