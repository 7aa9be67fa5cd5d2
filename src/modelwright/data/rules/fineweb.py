"""FineWeb's own scores (Penedo et al. 2024, section 3.6), as datatrove works them out.

They are those of the text after C4's edits of lines, where there were any.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from modelwright.data.rules.repeats import repeated_parts
from modelwright.data.rules.segments import Integers, offsets_of, segment_sums, share

SHORT_LINE = 30
"""A line of so many characters or fewer is short."""


def score_fineweb(texts: pl.Series, words: Integers) -> pl.DataFrame:
    """One row a text; the columns of ``fineweb`` in ``table.py``.

    Parameters
    ----------
    texts : polars.Series
        Strings, no nulls; blank lines do not count.
    words : numpy.ndarray
        int64 (texts,): how many words each text has.
    """
    split = texts.str.split("\n")
    lines = split.explode()
    filled = lines.str.contains(r"[^\s\x1c-\x1f]")
    offsets = offsets_of(filled.to_numpy())[offsets_of(split.list.len().to_numpy())]
    lines, counts = lines.filter(filled), np.diff(offsets)
    terminal = lines.str.contains(r"\p{Sentence_Terminal}$").to_numpy()
    short = (lines.str.len_chars() <= SHORT_LINE).to_numpy()
    newlines = texts.str.count_matches("\n", literal=True).to_numpy().astype(np.int64)
    characters = texts.str.len_chars().to_numpy().astype(np.int64)
    _, repeated = repeated_parts(lines, offsets)
    return pl.DataFrame(
        {
            "terminal_line_fraction": share(segment_sums(terminal, offsets), counts),
            "short_line_fraction": share(segment_sums(short, offsets), counts),
            "edited_duplicate_line_char_fraction": share(repeated, characters - newlines),
            "newline_word_ratio": share(newlines, words),
        }
    )
