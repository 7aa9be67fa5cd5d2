"""Sums over the parts of an array that belong to one text each, and shares that allow for zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


def offsets_of(counts: NDArray[np.integer | np.bool_]) -> Integers:
    """Where each segment begins, and the end of the last: shape (segments + 1,)."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def segment_sums(values: NDArray[np.integer | np.bool_], offsets: Integers) -> Integers:
    """Sum of the values between neighbouring offsets: shape (segments,)."""
    totals = offsets_of(values)
    return totals[offsets[1:]] - totals[offsets[:-1]]


def segment_maxima(values: Integers, offsets: Integers) -> Integers:
    """Largest value between neighbouring offsets, 0 where there is none: shape (segments,)."""
    maxima = np.zeros(len(offsets) - 1, dtype=np.int64)
    filled = np.diff(offsets) > 0
    if filled.any():
        maxima[filled] = np.maximum.reduceat(values, offsets[:-1][filled])
    return maxima


def segment_numbers(offsets: Integers) -> Integers:
    """For every value the number of its segment: shape (values,)."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def share(part: NDArray[np.integer], whole: NDArray[np.integer]) -> Numbers:
    """``part / whole``, and 0 where the whole is 0."""
    shares: Numbers = np.divide(part, whole, out=np.zeros(len(whole)), where=whole != 0)
    return shares
