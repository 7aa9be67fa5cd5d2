"""How well a classifier tells texts apart that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = (0.1, 0.25, 0.5, 0.75, 0.9)
BINS = 10


@dataclass(frozen=True)
class AtThreshold:
    """What happens if texts with a smaller score than a threshold are dropped.

    Attributes
    ----------
    threshold : float
    good_kept, bad_kept : float
        Share of the good and of the bad texts that stay.
    precision : float or None
        Share of good texts in what stays, if there were as many bad as good; None if nothing
        stays.
    """

    threshold: float
    good_kept: float
    bad_kept: float
    precision: float | None


@dataclass(frozen=True)
class Bin:
    """The texts whose scores lie in ``[low, high)``, the last bin with its end.

    Attributes
    ----------
    low, high : float
    documents : int
    score : float
        Their mean score.
    good : float
        Share of good texts, if there were as many bad as good.
    """

    low: float
    high: float
    documents: int
    score: float
    good: float


@dataclass(frozen=True)
class Measures:
    """Figures on held-out texts; both classes weigh the same, however many texts they have.

    Attributes
    ----------
    auc : float
        Area under the receiver operating characteristic: the probability that a good text scores
        higher than a bad one (ties count half).
    calibration_error : float
        Mean distance between score and share of good texts over the bins (expected calibration
        error: Guo et al. 2017, "On calibration of modern neural networks", equation 3).
    thresholds : tuple of AtThreshold
    bins : tuple of Bin
        Bins without texts are left out.
    """

    auc: float
    calibration_error: float
    thresholds: tuple[AtThreshold, ...]
    bins: tuple[Bin, ...]


def measure(good: NDArray[np.float64], bad: NDArray[np.float64]) -> Measures:
    """Compare the scores of good and of bad texts.

    Parameters
    ----------
    good, bad : ndarray of float64
        Scores in [0, 1], at least one each.
    """
    scores = np.concatenate([good, bad])
    is_good = np.arange(len(scores)) < len(good)
    weights = np.where(is_good, 0.5 / len(good), 0.5 / len(bad))
    bin_of = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    bins, error = list[Bin](), 0.0
    for number in np.unique(bin_of):
        inside = bin_of == number
        total = weights[inside].sum()
        score = float((weights * scores)[inside].sum() / total)
        share = float((weights * is_good)[inside].sum() / total)
        error += float(total) * abs(score - share)
        low, high = number / BINS, (number + 1) / BINS
        bins.append(Bin(low, high, int(inside.sum()), score, share))
    return Measures(
        auc=_auc(good, bad),
        calibration_error=error,
        thresholds=tuple(_at(threshold, good, bad) for threshold in THRESHOLDS),
        bins=tuple(bins),
    )


def _auc(good: NDArray[np.float64], bad: NDArray[np.float64]) -> float:
    """Mann and Whitney's U by two look-ups in the sorted bad scores."""
    ordered = np.sort(bad)
    below = np.searchsorted(ordered, good, side="left")
    not_above = np.searchsorted(ordered, good, side="right")
    return float((below + not_above).sum() / (2 * len(good) * len(bad)))


def _at(threshold: float, good: NDArray[np.float64], bad: NDArray[np.float64]) -> AtThreshold:
    good_kept, bad_kept = float((good >= threshold).mean()), float((bad >= threshold).mean())
    kept = good_kept + bad_kept
    return AtThreshold(threshold, good_kept, bad_kept, good_kept / kept if kept else None)
