"""Histograms with bins that are known beforehand, so that one pass over the scores is enough."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

Counts = NDArray[np.int64]

BINS = 40
A_DECADE = 8
DECADES = 10
"""Texts of up to ten thousand million characters have a bin of their own."""


@dataclass(frozen=True)
class Bins:
    """Where a histogram's bins lie; the last one holds everything above.

    Attributes
    ----------
    scale : {"linear", "log"}
        Of equal width, or of equal ratio after a first bin for everything below 1.
    width : float
        Of a bin; of its logarithm to base 10 if the scale is ``log``.
    number : int
        How many, that for everything above included.
    """

    scale: Literal["linear", "log"]
    width: float
    number: int

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where values lie, in bins from the left edge."""
        if self.scale == "linear":
            # What is on an edge but for rounding is on it: a share of 0.3 is 12 bins of 0.025.
            return np.asarray(values / self.width + 1e-9)
        return np.asarray(np.where(values < 1, 0, np.log10(np.maximum(values, 1)) / self.width + 1))

    def edge(self, number: int) -> float:
        """The left edge of a bin."""
        if self.scale == "linear":
            return number * self.width
        return 0.0 if number == 0 else 10 ** ((number - 1) * self.width)

    def index(self, values: NDArray[np.float64]) -> Counts:
        """The bin of each value."""
        return np.clip(np.floor(self.place(values)), 0, self.number - 1).astype(np.int64)


def unit_bins(largest: int) -> Bins:
    """A bin for each whole number up to ``largest``."""
    return Bins("linear", 1.0, largest + 2)


def log_bins() -> Bins:
    """Bins of equal ratio, for lengths and other counts without a limit."""
    return Bins("log", 1 / A_DECADE, A_DECADE * DECADES + 2)


def number_bins(threshold: float | None, fails: str) -> Bins:
    """Some forty bins for a share or a ratio, with the threshold on an edge."""
    if threshold is None or threshold <= 0:
        return Bins("linear", 1 / BINS, BINS + 1)
    if threshold < 0.25:
        return Bins("linear", threshold / 10, BINS + 1)
    if threshold <= 1:
        width = threshold / round(BINS * threshold)
        return Bins("linear", width, math.ceil(1 / width - 1e-9) + 1)
    return Bins("linear", threshold / (10 if fails == "below" else 20), BINS + 1)


class Histogram:
    """Documents by bin, those on the side that stays and those on the other."""

    def __init__(self, bins: Bins):
        self.bins = bins
        self.counts: Counts = np.zeros((2, bins.number), np.int64)
        """(2, bins): what stays, what is dropped."""

    def add(self, scores: pl.Series, dropped: pl.Series) -> None:
        """Count scores; those that are missing or no number are left out."""
        values = scores.cast(pl.Float64).to_numpy()
        known = np.isfinite(values)
        places = self.bins.index(values[known])
        sides = dropped.to_numpy()[known].astype(np.int64)
        flat = np.bincount(sides * self.bins.number + places, minlength=2 * self.bins.number)
        self.counts += flat.reshape(2, -1)
