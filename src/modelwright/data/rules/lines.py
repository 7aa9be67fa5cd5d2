"""Lines of texts, and texts of lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from modelwright.data.rules.segments import Flags, Integers, offsets_of, segment_sums

# All that str.splitlines() takes for the end of a line; "\n" itself is left as it is.
_LINE_END = "\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]"

WHITESPACE = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""What ``str.strip()`` takes off."""


@dataclass(frozen=True)
class Lines:
    """The lines of some texts, one text after the other.

    Attributes
    ----------
    raw, stripped : polars.Series
        Every line as it is, and without white space at its ends.
    offsets : numpy.ndarray
        int64 (texts + 1,): where the lines of each text begin.
    """

    raw: pl.Series
    stripped: pl.Series
    offsets: Integers

    @property
    def counts(self) -> Integers:
        """How many lines each text has."""
        return np.diff(self.offsets)


def split_lines(texts: pl.Series) -> Lines:
    """Split as ``str.splitlines()`` does: an empty text has no line, a last newline begins none."""
    ended = texts.str.replace_all(_LINE_END, "\n").str.strip_suffix("\n")
    split = ended.str.split("\n")
    counts = split.list.len().to_numpy().astype(np.int64)
    raw = split.explode()
    empty = (texts.str.len_bytes() == 0).to_numpy()
    if empty.any():
        raw = raw.filter(pl.Series(~np.repeat(empty, counts)))
        counts[empty] = 0
    return Lines(raw, raw.str.strip_chars(WHITESPACE), offsets_of(counts))


def join_lines(lines: pl.Series, kept: Flags, offsets: Integers) -> pl.Series:
    """Texts of the lines that are kept, parted by newlines."""
    ends = offsets_of(segment_sums(kept, offsets))
    lists = pa.LargeListArray.from_arrays(ends, lines.filter(pl.Series(kept)).to_arrow())
    return pl.Series(lists).list.join("\n")
