"""A quality classifier on disk and in memory, and the scores that it gives.

A classifier is a folder of two files: ``quality.safetensors`` with one weight a bucket of
:mod:`modelwright.data.quality.features` and the intercept, and ``quality.json`` with what it was
trained on and how well it does. Scoring needs NumPy and Polars alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from modelwright.core.errors import InputError
from modelwright.core.files import atomic_open, write_json
from modelwright.data.quality.features import BUCKETS, FEATURES_VERSION, Features, features

WEIGHTS_FILE = "quality.safetensors"
DESCRIPTION_FILE = "quality.json"
FORMAT = "modelwright-quality-1"

_DECIMALS = 6  # the last digits of exp() may differ between processors


@dataclass(frozen=True)
class QualityClassifier:
    """A logistic regression on hashed features.

    Attributes
    ----------
    weights : ndarray of float32, shape (BUCKETS,)
    intercept : float
    """

    weights: NDArray[np.float32]
    intercept: float


def score_quality(classifier: QualityClassifier, texts: pl.Series) -> pl.Series:
    """Give each text the probability that it is good, if good and bad were equally frequent.

    Parameters
    ----------
    classifier : QualityClassifier
        From :func:`load_quality`.
    texts : polars.Series
        Strings, no nulls.

    Returns
    -------
    polars.Series
        Float64 in [0, 1] with six decimals, named ``quality``; 0 for a text without a token. A
        text's score depends on that text alone.
    """
    parts = [_score(classifier, some) for some in features(texts)]
    scores = np.concatenate(parts) if parts else np.zeros(0)
    return pl.Series("quality", scores, dtype=pl.Float64)


def _score(classifier: QualityClassifier, some: Features) -> NDArray[np.float64]:
    scores = np.zeros(len(some.offsets) - 1)
    has_tokens = np.diff(some.offsets) > 0
    products = classifier.weights[some.buckets] * some.values
    sums = np.add.reduceat(products, some.offsets[:-1][has_tokens]) if len(products) else products
    scores[has_tokens] = np.exp(-np.logaddexp(0.0, -(sums + classifier.intercept)))
    return scores.round(_DECIMALS)


def save_quality(classifier: QualityClassifier, description: dict[str, Any], folder: Path) -> None:
    """Write a classifier into ``folder``, which is made if need be; the weights come last."""
    folder.mkdir(parents=True, exist_ok=True)
    head = {"format": FORMAT, "features_version": FEATURES_VERSION, "buckets": BUCKETS}
    write_json(folder / DESCRIPTION_FILE, head | description)
    tensors: dict[str, NDArray[Any]] = {
        "weights": classifier.weights,
        "intercept": np.array([classifier.intercept], dtype=np.float64),
    }
    with atomic_open(folder / WEIGHTS_FILE) as file:
        file.write(save(tensors))


def load_quality(folder: Path) -> QualityClassifier:
    """Read a classifier.

    Raises
    ------
    InputError
        If the folder holds none, or one of another format.
    """
    fix = "train one with 'modelwright data classifier'"
    try:
        description = json.loads((folder / DESCRIPTION_FILE).read_bytes())
        tensors = load((folder / WEIGHTS_FILE).read_bytes())
    except FileNotFoundError as error:
        raise InputError("no quality classifier here", where=error.filename, fix=fix) from error
    except (ValueError, SafetensorError) as error:
        raise InputError(f"a broken quality classifier: {error}", where=folder, fix=fix) from error
    if not _is_ours(description, tensors):
        raise InputError("a quality classifier of another format", where=folder, fix=fix)
    return QualityClassifier(tensors["weights"], float(tensors["intercept"][0]))


def _is_ours(description: object, tensors: dict[str, NDArray[Any]]) -> bool:
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        return False
    shapes = {name: (tensor.shape, str(tensor.dtype)) for name, tensor in tensors.items()}
    return description.get("features_version") == FEATURES_VERSION and shapes == {
        "weights": ((BUCKETS,), "float32"),
        "intercept": ((1,), "float64"),
    }
