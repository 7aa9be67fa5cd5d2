"""Batch, rates and decay by the width of the model and the length of the run.

Each is a power law from the literature through a point that was tuned here (docs/experiments.md);
the exponents were not tested here, and nothing goes beyond what they were last used with:

- the batch grows with tokens^0.383 (Bergsma et al. 2025, arXiv:2505.13738);
- rates grow with the root of the batch (Malladi et al. 2022, arXiv:2205.10287);
- AdamW's rate, of tables and norms, falls with the root of the width; Muon's does not, its updates
  are scaled to AdamW's by the shape of each matrix (Liu et al. 2025, arXiv:2502.16982, eq. 4);
- Muon's rate · decay · steps, which says how much of the run the matrices remember, stays the same
  (Wang and Aitchison 2024, arXiv:2405.13698).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from modelwright.training.names import StartName

WIDTH = 192
TOKENS = 1e6
BATCH_TOKENS = 2048
LEARNING_RATE, MATRIX_LEARNING_RATE, WEIGHT_DECAY = 1.5e-2, 2e-2, 0.1
"""The tuned point."""

FULL_RATE_TOKENS, FULL_MATRIX_RATE_TOKENS = 3e6, 1.5e6
"""Tokens of a run from which on the rates of AdamW and of Muon are those that suit random first
weights. In a shorter run these would undo more of the start from bigrams than it can learn: AdamW's
goes with the tokens there, Muon's with their root (docs/experiments.md)."""

BATCH_EXPONENT = 0.383
MOST_DECAY, LEAST_DECAY = 0.3, 0.01
LARGEST_BATCH = 16.0
"""Times :data:`BATCH_TOKENS` from which on rates do not grow: far beyond what was tried."""


@dataclass(frozen=True)
class Rates:
    """How a run is optimized.

    Attributes
    ----------
    rows : int
        Windows in an optimizer step, a power of two.
    learning_rate, matrix_learning_rate : float
        Peak rates of AdamW (tables, norms) and of Muon (matrices in the blocks).
    weight_decay : float
        Decoupled.
    """

    rows: int
    learning_rate: float
    matrix_learning_rate: float
    weight_decay: float


def rates_for(
    width: int, tokens: float, length: int, start: StartName = "random", rows: int | None = None
) -> Rates:
    """Batch, rates and decay of a run.

    Parameters
    ----------
    width : int
        Of the residual stream.
    tokens : float
        How many the run will see.
    length : int
        Tokens in a window.
    start : {"random", "bigrams"}
        Its first weights.
    rows : int, optional
        Windows in a step, where that is given.
    """
    if rows is None:
        wanted = BATCH_TOKENS * (max(tokens, 1.0) / TOKENS) ** BATCH_EXPONENT
        rows = 2 ** max(0, round(math.log2(wanted / length)))
    batch = min(LARGEST_BATCH, rows * length / BATCH_TOKENS)
    part, matrix_part = 1.0, 1.0
    if start == "bigrams":
        part = min(1.0, tokens / FULL_RATE_TOKENS)
        matrix_part = math.sqrt(min(1.0, tokens / FULL_MATRIX_RATE_TOKENS))
    decay = WEIGHT_DECAY * math.sqrt(batch) * TOKENS / max(tokens, 1.0)
    return Rates(
        rows=rows,
        learning_rate=_rounded(part * LEARNING_RATE * math.sqrt(batch * WIDTH / width)),
        matrix_learning_rate=_rounded(matrix_part * MATRIX_LEARNING_RATE * math.sqrt(batch)),
        weight_decay=_rounded(min(MOST_DECAY, max(LEAST_DECAY, decay))),
    )


def _rounded(value: float) -> float:
    """To three digits: a recipe should be readable."""
    return float(f"{value:.3g}")
