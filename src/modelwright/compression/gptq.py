"""GPTQ: rounding column after column, each error made up for by the columns that are left.

Frantar et al. 2022, arXiv:2210.17323. The inputs' second moments say by how much: of their damped
inverse, the upper Cholesky factor holds in row i what an error in column i moves the later ones by.
"""

from __future__ import annotations

import torch
from torch import Tensor

from modelwright.models.quantization.integers import Grid

BLOCK = 128
"""Columns whose errors reach the columns behind them in one product."""

DAMPING = 0.01
"""Added to the diagonal, as a share of its mean."""


def gptq(weight: Tensor, gram: Tensor, grid: Grid, groups: int) -> tuple[Tensor, Tensor]:
    """Round a weight so that its outputs on real inputs change little.

    Parameters
    ----------
    weight : Tensor
        (out, in).
    gram : Tensor
        Mean of x · xᵀ over inputs x, (in, in), float64.
    grid : Grid
        Which integers there are.
    groups : int
        Parts of a row that have a scale each. A scale is settled when its group is reached, by the
        weights as they are by then.

    Returns
    -------
    integers : Tensor
        (out, in), int8.
    scales : Tensor
        (out, groups), float32.
    """
    rows, width = weight.shape
    size = width // groups
    step = BLOCK if groups == 1 or BLOCK % size == 0 else size
    factor = inverse_factor(gram)
    left = weight.detach().to(factor, copy=True)
    integers = torch.empty(rows, width, dtype=torch.int8)
    scales = grid.scales(weight.detach().float().to(factor.device), groups)
    for start in range(0, width, step):
        end = min(start + step, width)
        errors = torch.zeros(rows, end - start, dtype=factor.dtype)
        for column in range(start, end):
            group = column // size
            if groups > 1 and column % size == 0:
                part = left[:, column : column + size].float()
                scales[:, group] = grid.scales(part, 1)[:, 0]
            scale = scales[:, group : group + 1]
            one = left[:, column : column + 1]
            integers[:, column : column + 1] = grid.round(one.float(), scale)
            rounded = integers[:, column : column + 1] * scale
            errors[:, column - start] = ((one - rounded) / factor[column, column])[:, 0]
            # Of the block only; columns behind it get the errors of the whole block at once.
            moved = errors[:, column - start, None] * factor[column, column + 1 : end]
            left[:, column + 1 : end] -= moved
        left[:, end:] -= errors @ factor[start:end, end:]
    return integers, scales


def inverse_factor(gram: Tensor) -> Tensor:
    """The upper Cholesky factor of the inverse of the damped second moments (in, in), float64.

    Inputs that are always 0 are independent of all others, so that nothing is made up for there.
    """
    diagonal = gram.diagonal()
    damping = DAMPING * float(diagonal.mean()) or 1.0  # all inputs may be 0
    damped = gram + damping * torch.eye(len(gram), dtype=gram.dtype)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor
