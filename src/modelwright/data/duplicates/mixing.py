"""Mixing 64-bit integers: one fixed function, because its values are stored on disk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def mix(values: Hashes) -> Hashes:
    """Mix every value in place, so that each bit of it depends on all bits that came in.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
    number generators"): a bijection of 64-bit integers.

    Parameters
    ----------
    values : ndarray of uint64
        Overwritten.

    Returns
    -------
    ndarray of uint64
        The same array.
    """
    values ^= values >> np.uint64(30)
    values *= _FIRST
    values ^= values >> np.uint64(27)
    values *= _SECOND
    values ^= values >> np.uint64(31)
    return values


def constants(count: int, seed: int) -> Hashes:
    """Draw ``count`` fixed pseudorandom 64-bit numbers: SplitMix64 started at ``seed``."""
    return mix((np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed)) * GOLDEN_RATIO)
