"""Gopher's quality scores (Rae et al. 2021, appendix A.1.1), as datatrove works them out."""

from __future__ import annotations

import numpy as np
import polars as pl

from modelwright.data.rules.lines import Lines
from modelwright.data.rules.segments import (
    Integers,
    Numbers,
    segment_numbers,
    segment_sums,
    share,
)
from modelwright.data.rules.words import Words

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Each counts once, and only in lower case."""

# datatrove's symbols: Unicode's ends of sentences, these marks and control characters.
_NO_SYMBOL = (
    r"""[^\p{Sentence_Terminal}"#$%&'()*+,\-/:;<=>@\[\\\]^_`{|}~«´»–—’“”„…∶━►、〈〉《》「」【】"""
    r"""％（），１：；～\x00-\x08\x0b-\x1f\x7f-\x9f]"""
)


def score_gopher_quality(texts: pl.Series, lines: Lines, words: Words) -> pl.DataFrame:
    """One row a text; the columns of ``gopher-quality`` in ``table.py``.

    Parameters
    ----------
    texts : polars.Series
        Strings, no nulls.
    lines : Lines
        Their lines.
    words : Words
        Their words.
    """
    hashes = texts.str.count_matches("#", literal=True)
    ellipses = texts.str.count_matches("...", literal=True)
    ellipses += texts.str.count_matches("…", literal=True)
    stripped = lines.stripped
    bullets = stripped.str.starts_with("•") | stripped.str.starts_with("-")
    trailing = stripped.str.ends_with("...") | stripped.str.ends_with("…")
    return pl.DataFrame(
        {
            **_word_scores(words),
            "hash_ratio": share(hashes.to_numpy(), words.counts),
            "ellipsis_ratio": share(ellipses.to_numpy(), words.counts),
            "bullet_line_fraction": _line_share(bullets, lines),
            "ellipsis_line_fraction": _line_share(trailing, lines),
        }
    )


def _word_scores(words: Words) -> dict[str, Integers | Numbers]:
    vocabulary = words.vocabulary
    is_word = vocabulary.str.contains(_NO_SYMBOL).to_numpy()
    has_letter = vocabulary.str.contains(r"\p{L}").to_numpy()
    lengths = np.where(is_word, vocabulary.str.len_chars().to_numpy(), 0)
    count = segment_sums(is_word[words.ids], words.offsets)
    alphabetic = segment_sums(has_letter[words.ids], words.offsets)
    return {
        "words": count,
        "mean_word_length": share(segment_sums(lengths[words.ids], words.offsets), count),
        "alphabetic_word_fraction": share(alphabetic, words.counts),
        "stop_words": _stop_words(words),
    }


def _stop_words(words: Words) -> Integers:
    """How many different stop words each text has."""
    is_stop_word = words.vocabulary.is_in(pl.Series(STOP_WORDS).implode()).to_numpy()
    found = is_stop_word[words.ids]
    size = max(1, len(words.vocabulary))
    pairs = np.unique(segment_numbers(words.offsets)[found] * size + words.ids[found])
    return np.bincount(pairs // size, minlength=len(words.offsets) - 1)


def _line_share(flags: pl.Series, lines: Lines) -> Numbers:
    return share(segment_sums(flags.to_numpy(), lines.offsets), lines.counts)
