"""Fit the dial's forecast to the points of ``scaling.py``.

python benchmarks/training/fit_scaling.py [FIGURES.jsonl]

The form is bits per byte = floor + ((size / N)^(a / b) + data / D)^b, N weights in matrix products
and D tokens, both in millions (Kaplan et al. 2020, arXiv:2001.08361, eq. 1.5, above a floor that is
given). A start from bigrams of a text of T tokens counts as the part S / (T + S) of those that are
not read, read by a model of M weights; repetitions, and weights beyond those that a text can fill,
count less, and heads that look back gain a little, as in ``training/forecast.py``, for which this
prints the constants. Points without ``looks_back`` are from before there were such heads. Fitted to
the logarithms by least squares. Prints each point beside the law, too, and how far a law that was
fitted without the point is from it. Needs SciPy.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from modelwright.training.forecast import EXCESS, LOOK_BACK
from modelwright.training.shapes import shape_config

FIGURES = Path(__file__).with_name("scaling.jsonl")
FLOOR = 0.7
"""About what the best models reach on English text; these points do not tell it."""

NAMES = (
    "size", "size_exponent", "data", "data_exponent", "start_tokens", "start_weights", "repeats",
)  # fmt: skip
FIRST = (0.5, 0.3, 1.5, 0.2, 1.0, 1.0)
LOWEST, HIGHEST = (1e-4, 0.01, 1e-3, 0.02, 1e-3, 1e-3), (1e5, 3.0, 1e5, 3.0, 1e3, 1e3)
FIRST_REPEATS = 2.0
"""Where the searches begin, and their bounds."""

ONCE = 1.05
"""Readings of a text up to which it counts as read once."""


def main() -> None:
    """Fit and print."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FIGURES
    figures = [json.loads(line) for line in path.read_text().splitlines()]
    columns = zip(*map(point, figures), strict=True)
    *seen, reached = (np.array(column) for column in columns)
    constants = fit(*seen, reached)
    print(", ".join(f"{name}={value:.4f}" for name, value in zip(NAMES, constants, strict=True)))
    print(
        "| layers x width | start | weights | tokens | of | reached | law | off "
        "| off when left out |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for index, figure in enumerate(figures):
        others = np.arange(len(figures)) != index
        without = fit(*(column[others] for column in (*seen, reached)))
        said, unseen = law(constants, *seen)[index], law(without, *seen)[index]
        shape, weights = figure["point"], seen[0][index]
        print(
            f"| {shape['layers']} x {shape['hidden_size']} | {shape['start']} "
            f"| {weights:.2f}M | {figure['tokens'] / 1e6:.2f}M "
            f"| {figure['text_tokens'] / 1e6:.1f}M | {reached[index]:.4f} | {said:.4f} "
            f"| {said / reached[index] - 1:+.1%} | {unseen / reached[index] - 1:+.1%} |"
        )


def point(figure: dict[str, Any]) -> tuple[float, float, float, bool, bool, float]:
    """Weights, tokens, tokens of the text, in millions; a start from bigrams? with heads that look
    back?; bits per byte.
    """
    shape = figure["point"]
    config = shape_config(shape["hidden_size"], shape["layers"], int(shape.get("vocabulary", 4096)))
    millions = (config.matrix_weights(), figure["tokens"], figure["text_tokens"])
    weights, tokens, text = (number / 1e6 for number in millions)
    from_bigrams, looks_back = shape["start"] == "bigrams", figure.get("looks_back", False)
    return weights, tokens, text, from_bigrams, looks_back, figure["bits_per_byte"]


def law(
    constants: Sequence[float],
    weights: np.ndarray,
    tokens: np.ndarray,
    text: np.ndarray,
    from_bigrams: np.ndarray,
    looks_back: np.ndarray,
    limits_weights: bool = True,
) -> np.ndarray:
    """Bits per byte by the law; without limits a text can fill any number of weights."""
    size, size_exponent, data, data_exponent, start_tokens, start_weights, repeats = constants
    ratio = size_exponent / data_exponent
    of_start = np.full_like(weights, start_weights)
    if limits_weights:
        best = size * (ratio * text / data) ** (1.0 / ratio)
        weights, of_start = _worth(weights, best, EXCESS), _worth(of_start, best, EXCESS)
    seen = _worth(tokens, text, repeats)
    unseen = np.maximum(0.0, text - seen) * from_bigrams
    counted = unseen * start_tokens / (text + start_tokens)
    size_of_both = weights + (of_start - weights) * counted / (seen + counted)
    by_size = (size / size_of_both) ** ratio
    bits = FLOOR + (by_size + data / (seen + counted)) ** data_exponent
    return bits * (1.0 - LOOK_BACK * looks_back * unseen / text)


def _worth(amount: np.ndarray, whole: np.ndarray, constant: float) -> np.ndarray:
    beyond = np.maximum(0.0, amount / whole - 1.0)
    return np.minimum(amount, whole) - whole * constant * np.expm1(-beyond / constant)


def fit(*columns: np.ndarray) -> np.ndarray:
    """The constants, in the order of :data:`NAMES`.

    All but the last are fitted to the runs that read their text once, and the last to the others,
    which are few, so that it cannot bend the law. The first fit is without the limit of weights,
    which is not fitted but the paper's: with it the errors are the same, but the exponent of size
    is 0.47, far from the 0.34 that large models have (Hoffmann et al. 2022, arXiv:2203.15556).
    """
    *seen, reached = columns
    is_once = seen[1] <= ONCE * seen[2]

    def errors(constants: Sequence[float], limits_weights: bool) -> np.ndarray:
        return np.log(law(constants, *seen, limits_weights)) - np.log(reached)

    of_law = least_squares(
        lambda tried: errors([*tried, FIRST_REPEATS], limits_weights=False)[is_once],
        FIRST,
        bounds=(LOWEST, HIGHEST),
    ).x
    repeats = least_squares(
        lambda tried: errors([*of_law, *tried], limits_weights=True)[~is_once], FIRST_REPEATS
    ).x
    return np.array([*of_law, *repeats])


if __name__ == "__main__":
    main()
