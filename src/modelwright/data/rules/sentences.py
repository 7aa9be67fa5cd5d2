"""How many sentences a text has, counted as spaCy's rule-based sentencizer does."""

from __future__ import annotations

import numpy as np

from modelwright.data.rules.segments import Integers, offsets_of, segment_sums
from modelwright.data.rules.words import Words


def count_sentences(words: Words) -> Integers:
    """Count the sentences of each text.

    A sentence ends with a mark such as "." or "?" and the punctuation that follows it; what comes
    next begins another one. A text without words counts as one.

    Parameters
    ----------
    words : Words
        Words of the profile ``fineweb-compat``, in which punctuation marks are words.

    Returns
    -------
    numpy.ndarray
        int64 (texts,).
    """
    vocabulary = words.vocabulary
    ends = vocabulary.str.contains(r"^\p{Sentence_Terminal}$").to_numpy()[words.ids]
    marks = vocabulary.str.contains(r"^\p{P}+$").to_numpy()[words.ids] | ends
    others = np.flatnonzero(~marks)
    ends_before = offsets_of(ends)
    # A word begins a sentence if an end stands between it and the word, or the begin, before it.
    begin_of_text = np.repeat(words.offsets[:-1], words.counts)[others]
    before = np.maximum(np.concatenate([[0], others[:-1]])[: len(others)], begin_of_text)
    begins = np.zeros(len(words.ids), dtype=np.bool_)
    begins[others] = ends_before[others] > ends_before[before]
    return 1 + segment_sums(begins, words.offsets)
