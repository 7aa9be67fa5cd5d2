"""Fit the dial's forecast to the points of ``scaling.py``.

python benchmarks/training/fit_scaling.py [FIGURES.jsonl]

The form is bits per byte = floor + size · N^-a + data · D^-b, N weights in matrix products and D
tokens, both in millions (Hoffmann et al. 2022, arXiv:2203.15556, eq. 2), fitted to the logarithms
by least squares with Huber's loss. Prints the constants for ``training/forecast.py``, each point
beside the law, and how far a law that was fitted without a point is from it. Needs SciPy.
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
FIRST = (0.9, 0.4, 0.3, 0.5, 0.4)
LOWEST, HIGHEST = (0.3, 0.0, 0.1, 0.0, 0.1), (1.3, 3.0, 1.0, 3.0, 1.0)
"""Exponents and floors beyond these would not be believed from so few points."""

HUBER = 0.005


def main() -> None:
    """Fit and print."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FIGURES
    figures = [json.loads(line) for line in path.read_text().splitlines()]
    columns = zip(*map(point, figures), strict=True)
    weights, tokens, reached = (np.array(column) for column in columns)
    constants = fit(weights, tokens, reached)
    names = ("floor", "size", "size_exponent", "data", "data_exponent")
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
    floor, size, size_exponent, data, data_exponent = constants
    return floor + size * weights**-size_exponent + data * tokens**-data_exponent


def fit(weights: np.ndarray, tokens: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """The five constants."""

    def errors(constants: np.ndarray) -> np.ndarray:
        return np.log(law(constants, weights, tokens)) - np.log(reached)

    result = least_squares(
        errors, FIRST, bounds=(LOWEST, HIGHEST), loss="huber", f_scale=HUBER, x_scale="jac"
    )
    return result.x


if __name__ == "__main__":
    main()
