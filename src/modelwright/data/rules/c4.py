"""C4's rules for lines (Raffel et al. 2020, section 2.2), as datatrove applies them.

Each line loses the white space at its ends and marks of citations such as "[3]". It is dropped if
it has a word of more than 1,000 characters, fewer than 3 words, speaks of JavaScript or has a
phrase of cookie notices. Only C4 itself drops lines without a mark at the end; FineWeb does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from modelwright.data.rules.line_edits import EditedLines
from modelwright.data.rules.lines import Lines
from modelwright.data.rules.segments import Flags, Integers, segment_sums
from modelwright.data.rules.words import Words

LONGEST_WORD = 1000
FEWEST_WORDS = 3

_CITATION = r"\[\d*\]|\[edit\]|\[citation needed\]"
_TERMINAL = r"""[.?!"']$"""
_POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


@dataclass(frozen=True)
class C4Lines:
    """What C4 makes of the lines of some texts; all arrays are bool (lines,).

    Attributes
    ----------
    edited : EditedLines
        The lines and which of them stay.
    long_word, unterminated, short, javascript, policy : numpy.ndarray
        Why lines are dropped, the first reason each; ``unterminated`` says it of all lines without
        a mark at the end, dropped or not.
    lorem_ipsum, curly_bracket : numpy.ndarray
        Lines for which the whole text is dropped.
    """

    edited: EditedLines
    long_word: Flags
    unterminated: Flags
    short: Flags
    javascript: Flags
    policy: Flags
    lorem_ipsum: Flags
    curly_bracket: Flags


def judge_c4_lines(lines: Lines, pieces: Words, drop_unterminated: bool) -> C4Lines:
    """Apply the rules for lines.

    Parameters
    ----------
    lines : Lines
        All lines.
    pieces : Words
        The words between white space of every line.
    drop_unterminated : bool
        Whether lines that do not end with one of ``. ? ! " '``, or end with "...", are dropped.
    """
    after = lines.stripped.str.replace_all(_CITATION, "")
    is_long = (pieces.vocabulary.str.len_chars() > LONGEST_WORD).to_numpy()
    long_word = segment_sums(is_long[pieces.ids], pieces.offsets) > 0
    terminal = after.str.contains(_TERMINAL) & ~after.str.ends_with("...")
    unterminated = ~long_word & ~terminal.to_numpy()
    left = ~long_word & ~(unterminated & drop_unterminated)
    short = left & (pieces.counts < FEWEST_WORDS)
    left &= ~short
    lorem_ipsum = left & _contains(after, ["lorem ipsum"])
    javascript = left & _contains(after, ["javascript"])
    left &= ~javascript
    curly_bracket = left & after.str.contains("{", literal=True).to_numpy()
    policy = left & _contains(after, list(_POLICIES))
    return C4Lines(
        edited=EditedLines(lines.stripped, after, left & ~policy),
        long_word=long_word,
        unterminated=unterminated,
        short=short,
        javascript=javascript,
        policy=policy,
        lorem_ipsum=lorem_ipsum,
        curly_bracket=curly_bracket,
    )


def score_c4(c4: C4Lines, offsets: Integers, sentences: Integers) -> pl.DataFrame:
    """One row a text; the columns of ``c4`` in ``table.py`` and the counts of lines.

    Parameters
    ----------
    c4 : C4Lines
        What is said of the lines.
    offsets : numpy.ndarray
        (texts + 1,): where the lines of each text begin.
    sentences : numpy.ndarray
        (lines,): sentences of every line, 0 for lines that are dropped.
    """
    return pl.DataFrame(
        {
            "c4_long_word_lines": segment_sums(c4.long_word, offsets),
            "c4_unterminated_lines": segment_sums(c4.unterminated, offsets),
            "c4_short_lines": segment_sums(c4.short, offsets),
            "c4_javascript_lines": segment_sums(c4.javascript, offsets),
            "c4_policy_lines": segment_sums(c4.policy, offsets),
            "c4_lorem_ipsum": np.minimum(segment_sums(c4.lorem_ipsum, offsets), 1),
            "c4_curly_bracket": np.minimum(segment_sums(c4.curly_bracket, offsets), 1),
            "c4_sentences": segment_sums(sentences, offsets),
        }
    )


def _contains(lines: pl.Series, phrases: list[str]) -> Flags:
    flags: Flags = lines.str.contains_any(phrases, ascii_case_insensitive=True).to_numpy()
    return flags
