"""How much of each text is said again: equal parts, and sequences of words.

Sequences of n words get numbers by doubling back on the numbers of those of n - 1 words, as suffix
arrays are built: equal numbers mean equal words, without any hashing. A sequence can be there
twice only if the shorter one at its beginning is, so that very few are left after some steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from modelwright.data.rules.segments import Integers, offsets_of, segment_numbers
from modelwright.data.rules.words import Words, index_strings


@dataclass(frozen=True)
class Repeated:
    """All sequences of n words that are at least twice in their text.

    Attributes
    ----------
    n : int
        Words in a sequence.
    places : numpy.ndarray
        int64, ascending: where among all words such a sequence begins.
    groups : numpy.ndarray
        int64, of the same shape: equal for equal sequences of the same text.
    """

    n: int
    places: Integers
    groups: Integers


def repeated_parts(parts: pl.Series, offsets: Integers) -> tuple[Integers, Integers]:
    """Count the parts of each text that are equal to an earlier part of it.

    Parameters
    ----------
    parts : polars.Series
        Strings: the parts of all texts.
    offsets : numpy.ndarray
        (texts + 1,): where the parts of each text begin.

    Returns
    -------
    parts, characters : numpy.ndarray
        int64 (texts,): how many repeated parts, and how many characters in them.
    """
    vocabulary, ids = index_strings(parts)
    texts, size = len(offsets) - 1, max(1, len(vocabulary))
    keys, counts = np.unique(segment_numbers(offsets) * size + ids, return_counts=True)
    again = keys[counts > 1]
    extra = counts[counts > 1] - 1
    lengths = vocabulary.str.len_chars().to_numpy()
    return (
        _sum_by(again // size, extra, texts),
        _sum_by(again // size, extra * lengths[again % size], texts),
    )


def repeated_sequences(words: Words, longest: int) -> Iterator[Repeated]:
    """Yield the repeated sequences of 2, 3, ... ``longest`` words."""
    size = len(words.vocabulary)
    ends = np.repeat(words.offsets[1:], words.counts)
    places = np.arange(len(words.ids))
    places, groups = _repeated(places, segment_numbers(words.offsets) * size + words.ids)
    for n in range(2, longest + 1):
        whole = places + n <= ends[places]
        places, groups = places[whole], groups[whole]
        places, groups = _repeated(places, groups * size + words.ids[places + n - 1])
        yield Repeated(n, places, groups)


def word_ends(words: Words) -> Integers:
    """Characters before each word, and of all words, were they written without spaces.

    Returns
    -------
    numpy.ndarray
        int64 (words + 1,).
    """
    lengths = words.vocabulary.str.len_chars().to_numpy().astype(np.int64)
    return offsets_of(lengths[words.ids])


def top_sequence_characters(repeated: Repeated, words: Words, ends: Integers) -> Integers:
    """Characters in the most frequent sequence of each text, times how often it is there.

    The first is taken of equally frequent ones, the very first sequence if none is there twice.

    Parameters
    ----------
    repeated : Repeated
        The repeated sequences.
    words : Words
        All words.
    ends : numpy.ndarray
        As :func:`word_ends` gives them.

    Returns
    -------
    numpy.ndarray
        int64 (texts,); the spaces between the words of a sequence count.
    """
    n = repeated.n
    first = words.offsets[:-1].copy()
    times = (words.counts >= n).astype(np.int64)
    _, starts, counts = np.unique(repeated.groups, return_index=True, return_counts=True)
    begins = repeated.places[starts]
    text = np.searchsorted(words.offsets, begins, side="right") - 1
    order = np.lexsort((begins, -counts, text))
    found, best = np.unique(text[order], return_index=True)
    first[found] = begins[order][best]
    times[found] = counts[order][best]
    last = np.minimum(first + n, len(words.ids))
    return times * (ends[last] - ends[first] + n - 1)


def repeated_sequence_characters(repeated: Repeated, words: Words, ends: Integers) -> Integers:
    """Characters of each text in sequences that were there before, as Gopher's scan finds them.

    From left to right: a sequence that was seen counts, and the scan goes on behind it; another one
    is noted, and the scan goes on with the next word. Parameters as above.

    Returns
    -------
    numpy.ndarray
        int64 (texts,); spaces do not count.
    """
    found, seen, free = list[int](), set[int](), 0
    for place, group in zip(repeated.places.tolist(), repeated.groups.tolist(), strict=True):
        if place < free:
            continue
        if group in seen:
            found.append(place)
            free = place + repeated.n
        else:
            seen.add(group)
    begins = np.array(found, dtype=np.int64)
    text = np.searchsorted(words.offsets, begins, side="right") - 1
    sizes = ends[begins + repeated.n] - ends[begins]
    return _sum_by(text, sizes, len(words.offsets) - 1)


def _repeated(places: Integers, keys: Integers) -> tuple[Integers, Integers]:
    """The places whose key is there more than once, and their keys as small numbers."""
    ordered, order = _sorted(keys)
    is_new = np.ones(len(keys), dtype=np.bool_)
    is_new[1:] = ordered[1:] != ordered[:-1]
    is_last = np.append(is_new[1:], True)
    several = ~(is_new & is_last)
    groups = np.full(len(keys), -1)
    groups[order[several]] = np.cumsum(is_new)[several]
    chosen = groups >= 0
    return places[chosen], groups[chosen]


def _sorted(keys: Integers) -> tuple[Integers, Integers]:
    """The keys in order, and the place of each; equal keys in any order."""
    size = max(1, len(keys))
    if int(keys.max(initial=0)) < 2**63 // size:  # one sort of both is faster than an argsort
        return np.divmod(np.sort(keys * size + np.arange(len(keys))), size)
    order = np.argsort(keys)
    return keys[order], order


def _sum_by(numbers: Integers, values: Integers, size: int) -> Integers:
    """Sum of the values for each number below ``size``."""
    totals = np.zeros(size, dtype=np.int64)
    np.add.at(totals, numbers, values)
    return totals
