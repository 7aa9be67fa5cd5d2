"""Losses of answers with a thumb up or down and a reference model: KTO and unpaired APO-zero.

KTO (Ethayarajh et al. 2024, arXiv:2402.01306) compares an answer's log-ratio
l = log π(y|x) - log π_ref(y|x) with a baseline z0, an estimate of KL(π ‖ π_ref). It is made of
*mismatched* pairs: prompts with answers of other prompts, which both models find unlikely.
"""

from __future__ import annotations

import torch
from torch import Tensor


def kl_baseline(mismatched_ratios: Tensor) -> Tensor:
    """Work out z0 = max(0, mean of l over mismatched pairs) (section 4.1 of the paper).

    Parameters
    ----------
    mismatched_ratios : Tensor
        Log-ratios l of mismatched pairs (M,), float32.

    Returns
    -------
    Tensor
        A float32 scalar without gradient.
    """
    return mismatched_ratios.detach().mean().clamp(min=0)


def kto(
    ratios: Tensor,
    desirable: Tensor,
    baseline: Tensor,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """KTO, equation 7 of the paper.

    λ_D·(1 - σ(β·(l - z0))) for desirable answers, λ_U·(1 - σ(β·(z0 - l))) for the others.

    Parameters
    ----------
    ratios : Tensor
        Log-ratios l of the answers, summed over their tokens (S,), float32.
    desirable : Tensor
        Whether each answer is (S,), bool.
    baseline : Tensor
        z0, from :func:`kl_baseline`; 0 for the unpaired loss of APO-zero (D'Oosterlinck et al.
        2024, arXiv:2408.06266), which TRL calls ``apo_zero_unpaired``.
    beta : float
        β, above 0.
    desirable_weight, undesirable_weight : float
        λ_D and λ_U; to balance, λ_D·(desirable answers) should be 1 to 4/3 times λ_U·(others).

    Returns
    -------
    Tensor
        Losses (S,), float32.
    """
    distances = beta * (ratios - baseline.detach())
    losses = torch.sigmoid(torch.where(desirable, -distances, distances))
    return losses * torch.where(desirable, desirable_weight, undesirable_weight)
