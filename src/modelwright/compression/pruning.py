"""Which weights of a matrix become zero."""

from __future__ import annotations

import torch
from torch import Tensor

from modelwright.core.errors import InputError


def largest(scores: Tensor, sparsity: float) -> Tensor:
    """The mask that keeps the weights of highest score of a matrix.

    Parameters
    ----------
    scores : Tensor
        What each weight counts, (out, in).
    sparsity : float
        Share of the weights that go, rounded to a whole number of them.

    Returns
    -------
    Tensor
        True for what is kept, (out, in), bool.
    """
    gone = round(sparsity * scores.numel())
    mask = torch.ones(scores.numel(), dtype=torch.bool, device=scores.device)
    mask[scores.flatten().argsort(stable=True)[:gone]] = False
    return mask.view(scores.shape)


def two_of_four(scores: Tensor) -> Tensor:
    """The mask that keeps the two of highest score in every four neighbours along the input.

    The pattern that NVIDIA's sparse tensor cores multiply (Mishra et al. 2021, arXiv:2104.08378).

    Parameters
    ----------
    scores : Tensor
        What each weight counts, (out, in).

    Returns
    -------
    Tensor
        True for what is kept, (out, in), bool.

    Raises
    ------
    InputError
        If ``in`` is no multiple of four.
    """
    rows, width = scores.shape
    if width % 4:
        raise InputError(
            f"weights of {width} inputs have no whole groups of four",
            fix="prune by magnitude instead",
        )
    fours = scores.reshape(rows, width // 4, 4)
    kept = fours.argsort(dim=2, descending=True, stable=True)[:, :, :2]
    return torch.zeros_like(fours, dtype=torch.bool).scatter(2, kept, True).view(rows, width)


def wanda_scores(weight: Tensor, gram: Tensor) -> Tensor:
    """What weights count: |w| · ‖x‖ (Sun et al. 2023, arXiv:2306.11695), (out, in).

    Parameters
    ----------
    weight : Tensor
        (out, in).
    gram : Tensor
        Mean of x · xᵀ over the layer's inputs x, (in, in).
    """
    return weight.detach().abs() * gram.diagonal().sqrt().to(weight)
