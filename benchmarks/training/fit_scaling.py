"""Fit the dial's forecast to the points of ``scaling.py``.

python benchmarks/training/fit_scaling.py [FIGURES.jsonl]

The form is bits per byte = floor + ((size / N)^(a / b) + data / D)^b, N weights in matrix products
and D tokens, both in millions (Kaplan et al. 2020, arXiv:2001.08361, eq. 1.5, above a floor that is
given); a start from bigrams counts as so many tokens more, and the blocks, which it leaves alone,
as their tokens' share in that sum. Fitted to the logarithms by least
squares. Prints the constants for ``training/forecast.py``, each point beside the law, and how far a
law that was fitted without a point is from it. Needs SciPy.
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

FIRST = (1.0, 0.1, 5.0, 0.2, 0.5)
LOWEST, HIGHEST = (1e-4, 0.01, 1e-3, 0.02, 0.0), (1e5, 3.0, 1e5, 3.0, 1e3)


def main() -> None:
    """Fit and print."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FIGURES
    figures = [json.loads(line) for line in path.read_text().splitlines()]
    columns = zip(*map(point, figures), strict=True)
    *seen, reached = (np.array(column) for column in columns)
    constants = fit(*seen, reached)
    names = ("size", "size_exponent", "data", "data_exponent", "start")
    print(", ".join(f"{name}={value:.4f}" for name, value in zip(names, constants, strict=True)))
    print("| layers x width | start | weights | tokens | reached | law | off | off when left out |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for index, figure in enumerate(figures):
        others = np.arange(len(figures)) != index
        without = fit(*(column[others] for column in (*seen, reached)))
        said, unseen = law(constants, *seen)[index], law(without, *seen)[index]
        shape, (blocks, head, tokens, _) = figure["point"], (column[index] for column in seen)
        print(
            f"| {shape['layers']} x {shape['hidden_size']} | {shape['start']} "
            f"| {blocks + head:.2f}M | {tokens:.2f}M | {reached[index]:.4f} | {said:.4f} "
            f"| {said / reached[index] - 1:+.1%} | {unseen / reached[index] - 1:+.1%} |"
        )


def point(figure: dict[str, Any]) -> tuple[float, float, float, bool, float]:
    """Weights of blocks and head, tokens, in millions; a start from bigrams?; bits per byte."""
    shape = figure["point"]
    vocabulary = int(shape.get("vocabulary", 4096))
    config = shape_config(shape["hidden_size"], shape["layers"], vocabulary)
    head, from_bigrams = vocabulary * config.hidden_size / 1e6, shape["start"] == "bigrams"
    blocks = config.matrix_weights() / 1e6 - head
    return blocks, head, figure["tokens"] / 1e6, from_bigrams, figure["bits_per_byte"]


def law(
    constants: np.ndarray,
    blocks: np.ndarray,
    head: np.ndarray,
    tokens: np.ndarray,
    from_bigrams: np.ndarray,
) -> np.ndarray:
    """Bits per byte by the law."""
    size, size_exponent, data, data_exponent, start = constants
    worth = tokens + start * from_bigrams
    weights = head + blocks * tokens / worth
    by_size = (size / weights) ** (size_exponent / data_exponent)
    return FLOOR + (by_size + data / worth) ** data_exponent


def fit(*columns: np.ndarray) -> np.ndarray:
    """The five constants."""
    *seen, reached = columns

    def errors(constants: np.ndarray) -> np.ndarray:
        return np.log(law(constants, *seen)) - np.log(reached)

    return least_squares(errors, FIRST, bounds=(LOWEST, HIGHEST)).x


if __name__ == "__main__":
    main()
