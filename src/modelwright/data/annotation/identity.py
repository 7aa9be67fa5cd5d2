"""What makes two documents the same: their ids as numbers, and hashes of their contents."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

CONTENT = "content"
"""Column with the hash of the text as it was collected."""


def content_hashes(texts: pl.Series) -> pl.Series:
    """Hash of each text, all white space alike: equal for exact duplicates; 32 hex digits."""
    return pl.Series(CONTENT, [content_hash(text) for text in texts], pl.String)


def content_hash(text: str) -> str:
    """Hash of a text in which all white space counts alike."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:32]


def document_keys(ids: pl.Series) -> NDArray[np.uint64]:
    """Document ids as numbers: our 16 hexadecimal digits are one; any other id is hashed.

    Returns
    -------
    numpy.ndarray
        uint64, in the order of the ids.
    """
    return np.array([document_key(name) for name in ids], dtype=np.uint64)


def document_key(name: str) -> int:
    """One document id as a number below 2**64."""
    if len(name) == 16 and set(name) <= set("0123456789abcdef"):
        return int(name, 16)
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def versions(keys: NDArray[np.uint64], contents: pl.Series) -> NDArray[np.uint64]:
    """One number for document and content together: another text is another version.

    Returns
    -------
    numpy.ndarray
        uint64; of two different pairs with a chance of 2**-64 the same.
    """
    first = np.array([int(content[:16], 16) for content in contents], dtype=np.uint64)
    # Two odd constants (of SplitMix64), so that neither part cancels the other.
    return keys * np.uint64(0x9E3779B97F4A7C15) + first * np.uint64(0xBF58476D1CE4E5B9)
