"""Words as numbers, under a named definition of what a word is.

* ``whitespace``: what stands between white space, as Gopher's paper and dolma count.
* ``fineweb-compat``: as spaCy's English tokenizer splits (``compat_words.py``), which is what
  datatrove, and with it FineWeb, counts; punctuation marks are words.

A rule means little without its definition: with ``fineweb-compat`` far more text fails Gopher's
"80 % of the words have a letter", as every comma is a word without one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from modelwright.data.rules.compat_words import split_pieces
from modelwright.data.rules.segments import Integers, offsets_of
from modelwright.data.rules.table import WordProfile

# Python's white space: that of Unicode and four ASCII separators.
_PIECE = r"[^\s\x1c-\x1f]+"


@dataclass(frozen=True)
class Words:
    """The words of some texts, one text after the other.

    Attributes
    ----------
    vocabulary : polars.Series
        The distinct words.
    ids : numpy.ndarray
        int64 (words,): for each word its place in the vocabulary.
    offsets : numpy.ndarray
        int64 (texts + 1,): where the words of each text begin.
    """

    vocabulary: pl.Series
    ids: Integers
    offsets: Integers

    @property
    def counts(self) -> Integers:
        """How many words each text has."""
        return np.diff(self.offsets)

    def grouped(self, offsets: Integers) -> Words:
        """The same words, where several texts, from offset to offset, are taken as one."""
        return replace(self, offsets=self.offsets[offsets])


def split_words(texts: pl.Series, profile: WordProfile) -> pl.Series:
    """Split texts into words.

    Parameters
    ----------
    texts : polars.Series
        Strings, no nulls.
    profile : str
        What a word is.

    Returns
    -------
    polars.Series
        A list of strings for each text.
    """
    words = index_pieces(texts)
    if profile == "fineweb-compat":
        words = split_further(words)
    flat = words.vocabulary.gather(words.ids)
    rows = pl.DataFrame({"text": np.repeat(np.arange(len(texts)), words.counts), "word": flat})
    lists = rows.group_by("text", maintain_order=True).agg("word")
    every = pl.DataFrame({"text": np.arange(len(texts))}).join(lists, on="text", how="left")
    return every["word"].fill_null([]).alias(texts.name)


def index_pieces(texts: pl.Series) -> Words:
    """Words between white space."""
    pieces = texts.str.extract_all(_PIECE)
    vocabulary, ids = index_strings(pieces.explode(empty_as_null=False))
    return Words(vocabulary, ids, offsets_of(pieces.list.len().to_numpy()))


def split_further(pieces: Words) -> Words:
    """From words between white space to those of FineWeb; each distinct piece is split once."""
    parts = split_pieces(pieces.vocabulary)
    vocabulary, part_ids = index_strings(parts.explode(empty_as_null=False))
    sizes = parts.list.len().to_numpy().astype(np.int64)
    counts = sizes[pieces.ids]
    offsets = offsets_of(counts)
    # Word k of the text is word k - begin of its piece, which is at `first` in the split pieces.
    first = offsets_of(sizes)[pieces.ids]
    places = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], counts)
    return Words(vocabulary, part_ids[places], offsets[pieces.offsets])


def index_strings(strings: pl.Series) -> tuple[pl.Series, Integers]:
    """The distinct strings in the order of their first appearance, and for each string its place.

    Returns
    -------
    vocabulary : polars.Series
    ids : numpy.ndarray
        int64, (strings,).
    """
    encoded = strings.to_arrow().dictionary_encode()
    vocabulary = pl.Series(encoded.dictionary, dtype=pl.String)
    return vocabulary, encoded.indices.to_numpy().astype(np.int64)
