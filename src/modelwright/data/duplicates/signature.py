"""MinHash signatures of documents, cut into bands (Broder 1997; Leskovec et al., chapter 3).

Two documents whose sets of word 5-grams have the Jaccard similarity J agree in one hash with the
probability J, and in all 8 hashes of at least one of 14 bands with 1 - (1 - J^8)^14: the
parameters of FineWeb (Penedo et al. 2024), which find 92 % of the pairs at J = 0.8.

Everything is written here in NumPy, because the values are stored: libraries of MinHash change
their functions between versions.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelwright.data.duplicates.mixing import Hashes, constants, mix
from modelwright.data.duplicates.words import Offsets, word_hashes

BANDS = 14
ROWS = 8
SHINGLE_WORDS = 5

TEXT_BYTES_AT_ONCE = 1 << 20  # so that the arrays stay in the processor's cache

_MULTIPLIER, _BAND_MULTIPLIER = constants(2, seed=0) | np.uint64(1)
_SLOPES = constants(BANDS * ROWS, seed=1000).astype(np.uint32) | np.uint32(1)
_SHIFTS = constants(BANDS * ROWS, seed=2000).astype(np.uint32)


def band_hashes(texts: pl.Series) -> tuple[Hashes, NDArray[np.bool_]]:
    """Hash the bands of every text's signature.

    Row ``i`` depends on text ``i`` only. Documents that share the hash of a band are
    candidates for being near-duplicates.

    Parameters
    ----------
    texts : Series of String
        ``n`` texts, none missing.

    Returns
    -------
    bands : ndarray of uint64, shape (n, 14)
        Zeros in rows of texts without a word.
    has_words : ndarray of bool, shape (n,)
        Which texts have a word, hence bands that mean something.
    """
    bands = np.zeros((len(texts), BANDS), dtype=np.uint64)
    has_words = np.zeros(len(texts), dtype=np.bool_)
    ends = np.cumsum(texts.str.len_bytes().to_numpy().astype(np.int64))
    start = 0
    while start < len(texts):
        limit = TEXT_BYTES_AT_ONCE + (ends[start - 1] if start else 0)
        stop = max(start + 1, int(np.searchsorted(ends, limit, side="right")))
        values, offsets = shingles(*word_hashes(texts[start:stop]))
        has_words[start:stop] = np.diff(offsets) > 0
        bands[start:stop][has_words[start:stop]] = _hash_bands(minhash(values, offsets))
        start = stop
    return bands, has_words


def shingles(words: Hashes, offsets: Offsets) -> tuple[NDArray[np.uint32], Offsets]:
    """Hash every run of five words; a text of one to four words is one run.

    Parameters
    ----------
    words : ndarray of uint64
        Hashes of the words, text by text.
    offsets : ndarray of int64, shape (n + 1,)
        Where each text begins in ``words``.

    Returns
    -------
    hashes : ndarray of uint32
        Text by text, repeated runs repeated.
    offsets : ndarray of int64, shape (n + 1,)
        Where each text begins in ``hashes``.
    """
    firsts, counts = offsets[:-1], np.diff(offsets)
    following = np.concatenate([words, np.zeros(SHINGLE_WORDS, dtype=np.uint64)])
    runs = words.copy()
    for step in range(1, SHINGLE_WORDS):
        runs *= _MULTIPLIER
        runs += following[step : step + len(words)]

    is_whole = np.ones(len(words), dtype=np.bool_)
    for back in range(1, SHINGLE_WORDS):
        is_whole[(offsets[1:] - back)[counts >= back]] = False
    short = (counts > 0) & (counts < SHINGLE_WORDS)
    is_whole[firsts[short]] = True
    runs[firsts[short]] = _short_runs(following, firsts[short], counts[short])

    found = np.where(short, 1, np.maximum(counts - (SHINGLE_WORDS - 1), 0))
    hashes = (mix(runs[is_whole]) >> np.uint64(32)).astype(np.uint32)
    return hashes, np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(found)])


def _short_runs(words: Hashes, firsts: Offsets, counts: Offsets) -> Hashes:
    runs = words[firsts]
    for step in range(1, SHINGLE_WORDS - 1):
        longer = runs * _MULTIPLIER + words[firsts + step]
        runs = np.where(counts > step, longer, runs)
    return runs


def minhash(values: NDArray[np.uint32], offsets: Offsets) -> NDArray[np.uint32]:
    """Take the smallest value of each text under each of 112 permutations.

    The permutations are linear, ``slope * value + shift`` modulo 2^32 with an odd slope. Of
    hashed values, as here, such simple ones do as well as random ones (Mitzenmacher and Vadhan
    2008, "Why simple hash functions work").

    Parameters
    ----------
    values : ndarray of uint32
        Hashed shingles, text by text.
    offsets : ndarray of int64, shape (n + 1,)
        Where each text begins in ``values``.

    Returns
    -------
    ndarray of uint32, shape (112, texts that have a shingle)
    """
    begins = offsets[:-1][np.diff(offsets) > 0]
    smallest = np.empty((len(_SLOPES), len(begins)), dtype=np.uint32)
    if len(begins):
        permuted = np.empty_like(values)
        for slope, shift, row in zip(_SLOPES, _SHIFTS, smallest, strict=True):
            np.multiply(values, slope, out=permuted)
            np.add(permuted, shift, out=permuted)
            np.minimum.reduceat(permuted, begins, out=row)
    return smallest


def _hash_bands(signatures: NDArray[np.uint32]) -> Hashes:
    """Hash eight values at a time: (112, n) to (n, 14)."""
    rows = signatures.reshape(BANDS, ROWS, -1).astype(np.uint64)
    bands = rows[:, 0].copy()
    for row in range(1, ROWS):
        bands *= _BAND_MULTIPLIER
        bands += rows[:, row]
    return mix(bands).T
