"""Batch, rates and decay by the width of the model and the length of the run.

Each is a power law through a point that was tuned here (docs/experiments.md):

- the batch grows with tokens^0.383 (Bergsma et al. 2025, arXiv:2505.13738);
- rates grow with the root of the batch (Malladi et al. 2022, arXiv:2205.10287);
- AdamW's rate falls with the root of the width; Muon's updates have the same size in every matrix
  already (Liu et al. 2025, arXiv:2502.16982, eq. 4);
- the decay is such that rate · decay · steps, which says how much of the run the weights remember,
  stays the same (Wang and Aitchison 2024, arXiv:2405.13698).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WIDTH = 192
TOKENS = 1e6
BATCH_TOKENS = 2048
LEARNING_RATE, MATRIX_LEARNING_RATE, WEIGHT_DECAY = 1.5e-2, 2e-2, 0.1
"""The tuned point."""

BATCH_EXPONENT = 0.383
MOST_DECAY = 0.3


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


def rates_for(width: int, tokens: float, length: int) -> Rates:
    """Batch, rates and decay of a run.

    Parameters
    ----------
    width : int
        Of the residual stream.
    tokens : float
        How many the run will see.
    length : int
        Tokens in a window.
    """
    wanted = BATCH_TOKENS * (max(tokens, 1.0) / TOKENS) ** BATCH_EXPONENT
    rows = 2 ** max(0, round(math.log2(wanted / length)))
    batch = rows * length / BATCH_TOKENS
    return Rates(
        rows=rows,
        learning_rate=_rounded(LEARNING_RATE * math.sqrt(batch * WIDTH / width)),
        matrix_learning_rate=_rounded(MATRIX_LEARNING_RATE * math.sqrt(batch)),
        weight_decay=_rounded(
            min(MOST_DECAY, WEIGHT_DECAY * math.sqrt(batch) * TOKENS / max(tokens, 1.0))
        ),
    )


def _rounded(value: float) -> float:
    """To three digits: a recipe should be readable."""
    return float(f"{value:.3g}")
