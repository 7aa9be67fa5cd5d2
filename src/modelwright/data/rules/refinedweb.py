"""RefinedWeb's corrections of lines (Penedo et al. 2023, appendix G.2), as DCLM applies them.

Lines are dropped that are mostly upper case, only digits, a counter ("3 likes") or a single word;
in lines of at most ten words, "items in cart", a final "Read more..." and a "Sign-in" at the begin
are taken out. Of more than one blank line in a row, one is left (``score.py``).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from modelwright.data.rules.line_edits import EditedLines
from modelwright.data.rules.segments import Integers

UPPER_CASE_SHARE = 0.5
FEWEST_WORDS = 2
MOST_WORDS_OF_NAVIGATION = 10

_COUNTER = (
    r"(?i)^\W*\d[\d,.]*[kmb]?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes"
    r"|downvotes|downloads|views|followers)\W*$"
)
_NAVIGATION = (r"(?i)\s?items in cart", r"(?i)\s?read more\.\.\.$", r"(?i)^sign-in\s?")
"""Taken out one after the other: what one leaves may end in the next."""


def edit_refinedweb_lines(lines: pl.Series, pieces: Integers) -> EditedLines:
    """Apply the corrections.

    Parameters
    ----------
    lines : polars.Series
        Lines as they are in the text.
    pieces : numpy.ndarray
        (lines,): words between white space in each of them.
    """
    has_any = _flags(lines.str.contains("|".join(_NAVIGATION)))
    is_navigation = (pieces <= MOST_WORDS_OF_NAVIGATION) & has_any
    after = lines
    if is_navigation.any():
        for pattern in _NAVIGATION:
            after = after.str.replace_all(pattern, "")
        after = after.zip_with(pl.Series(is_navigation), lines)
    # A line with one word and one with many upper-case letters are told apart by their length.
    upper = lines.str.count_matches(r"\p{Uppercase}").to_numpy()
    shouted = upper > UPPER_CASE_SHARE * lines.str.len_chars().to_numpy()
    counted = _flags(lines.str.contains(r"^\p{Nd}+$") | lines.str.contains(_COUNTER))
    empty = _flags(lines.str.len_bytes() == 0)
    emptied = is_navigation & ~_flags(after.str.contains(r"\S"))
    kept = empty | (~shouted & ~counted & (pieces >= FEWEST_WORDS) & ~emptied)
    return EditedLines(lines, after, kept)


def _flags(series: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    flags: np.ndarray[tuple[int], np.dtype[np.bool_]] = series.to_numpy()
    return flags
