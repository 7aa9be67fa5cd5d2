"""Fit the dial's forecast to the points of ``scaling.py``.

python benchmarks/training/fit_scaling.py [FIGURES.jsonl]

The form is bits per byte = floor + ((size / N)^(a / b) + data / D)^b, N weights in matrix products
and D tokens, both in millions (Kaplan et al. 2020, arXiv:2001.08361, eq. 1.5, above a floor that is
given), fitted to the logarithms by least squares. Prints the constants for
``training/forecast.py``, each point beside the law, and how far a law that was fitted without a
point is from it. Needs SciPy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from modelwright.training.shapes import shape_config

FIGURES = Path(__file__).with_name("scaling.jsonl")
FLOOR = 0.7
"""About what the best models reach on English text; these points do not tell it."""

FIRST = (1.0, 0.1, 5.0, 0.2)
LOWEST, HIGHEST = (1e-4, 0.01, 1e-3, 0.02), (1e5, 3.0, 1e5, 3.0)


def main() -> None:
    """Fit and print."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FIGURES
    figures = [json.loads(line) for line in path.read_text().splitlines()]
    columns = zip(*map(point, figures), strict=True)
    weights, tokens, reached = (np.array(column) for column in columns)
    constants = fit(weights, tokens, reached)
    names = ("size", "size_exponent", "data", "data_exponent")
    print(", ".join(f"{name}={value:.4f}" for name, value in zip(names, constants, strict=True)))
    print("| layers x width | weights | tokens | reached | law | off | off when left out |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for index, figure in enumerate(figures):
        others = np.arange(len(figures)) != index
        without = fit(weights[others], tokens[others], reached[others])
        said = law(constants, weights, tokens)[index]
        unseen = law(without, weights, tokens)[index]
        shape = figure["point"]
        print(
            f"| {shape['layers']} x {shape['hidden_size']} | {weights[index]:.2f}M "
            f"| {tokens[index]:.2f}M | {reached[index]:.4f} | {said:.4f} "
            f"| {said / reached[index] - 1:+.1%} | {unseen / reached[index] - 1:+.1%} |"
        )


def point(figure: dict[str, Any]) -> tuple[float, float, float]:
    """Weights and tokens in millions, and bits per byte."""
    shape = figure["point"]
    vocabulary = int(shape.get("vocabulary", 4096))
    config = shape_config(shape["hidden_size"], shape["layers"], vocabulary)
    return config.matrix_weights() / 1e6, figure["tokens"] / 1e6, figure["bits_per_byte"]


def law(constants: np.ndarray, weights: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Bits per byte by the law."""
    size, size_exponent, data, data_exponent = constants
    by_size = (size / weights) ** (size_exponent / data_exponent)
    return FLOOR + (by_size + data / tokens) ** data_exponent


def fit(weights: np.ndarray, tokens: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """The four constants."""

    def errors(constants: np.ndarray) -> np.ndarray:
        return np.log(law(constants, weights, tokens)) - np.log(reached)

    return least_squares(errors, FIRST, bounds=(LOWEST, HIGHEST)).x


if __name__ == "__main__":
    main()
