"""Cutting a column of texts so that what is made of a part stays in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

TEXT_BYTES = 1 << 20


def text_batches(texts: pl.Series, text_bytes: int = TEXT_BYTES) -> Iterator[pl.Series]:
    """Yield all texts in order, one or more at a time.

    Parameters
    ----------
    texts : polars.Series
        Strings, no nulls.
    text_bytes : int
        UTF-8 bytes of a batch; a longer text is a batch of its own.
    """
    ends = np.cumsum(texts.str.len_bytes().to_numpy().astype(np.int64))
    start = 0
    while start < len(texts):
        limit = text_bytes + (ends[start - 1] if start else 0)
        stop = max(start + 1, int(np.searchsorted(ends, limit, side="right")))
        yield texts[start:stop]
        start = stop
