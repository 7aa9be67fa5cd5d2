"""Policy gradients with importance ratios: PPO, RLOO and the family of GRPO.

A loss is put together of four parts, each on its own:

1. log-ratios log π/π_old, of tokens or of whole answers (:func:`log_ratios`);
2. a surrogate, the loss of each token (:func:`clipped`, :func:`cispo`, :func:`sapo`);
3. a penalty for leaving the reference (:mod:`modelwright.training.losses.kl`);
4. how tokens are weighted and what their sum is divided by (:func:`token_weights`).

Everything is (B, T), float32, with a mask (B, T) of the sampled tokens, bool. Ratios of whole
answers are (B, 1). Advantages are (B, 1) or (B, T). What lies outside the mask must be finite, as
:func:`modelwright.training.losses.log_probabilities.to_rows` makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

RatioLevel = Literal["token", "sequence_mean", "sequence_sum"]
Aggregation = Literal["grpo", "bnpo", "dapo", "dr_grpo", "luspo"]

LOG_RATIO_LIMIT = 20.0
"""Log-ratios are kept within ± this, as OpenRLHF does: infinite ratios would have nan gradients."""


def log_ratios(level: RatioLevel, log_probabilities: Tensor, old: Tensor, mask: Tensor) -> Tensor:
    """Logarithms of the importance ratios π / π_old; their exponentials are the ratios.

    Parameters
    ----------
    level : {"token", "sequence_mean", "sequence_sum"}
        Of each token (PPO, GRPO), or of each answer: the mean over its tokens (GSPO: Zheng et al.
        2025, arXiv:2507.18071, equation 7) or the sum, the true ratio (RLOO).
    log_probabilities, old : Tensor
        Log-probabilities of the sampled tokens now, and when they were sampled (B, T).
    mask : Tensor
        Sampled tokens (B, T), bool.

    Returns
    -------
    Tensor
        (B, T), 0 outside the mask, or (B, 1).
    """
    differences = (log_probabilities - old).masked_fill(~mask, 0)
    if level != "token":
        differences = differences.sum(dim=1, keepdim=True)
    if level == "sequence_mean":
        differences = differences / _lengths(mask)
    return differences.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def clipped(
    ratios: Tensor,
    advantages: Tensor,
    low: float = 0.2,
    high: float = 0.2,
    ceiling: float | None = None,
) -> Tensor:
    """PPO's loss, -min(w·A, clip(w, 1 - ε_low, 1 + ε_high)·A).

    Schulman et al. 2017, arXiv:1707.06347, equation 7; two limits: DAPO, Yu et al. 2025,
    arXiv:2503.14476, equation 10.

    Parameters
    ----------
    ratios : Tensor
        Importance ratios w (B, T) or (B, 1).
    advantages : Tensor
        A (B, 1) or (B, T).
    low, high : float
        ε_low and ε_high; DAPO takes 0.2 and 0.28.
    ceiling : float, optional
        δ, what w is limited to where it is not clipped: otherwise a large w with a negative A has
        no limit (INTELLECT-2, arXiv:2505.07291).
    """
    limited = ratios if ceiling is None else ratios.clamp(max=ceiling)
    return -torch.minimum(limited * advantages, ratios.clamp(1 - low, 1 + high) * advantages)


def cispo(
    ratios: Tensor, advantages: Tensor, log_probabilities: Tensor, ceiling: float = 5.0
) -> Tensor:
    """-min(w, ε_max)·A·log π, with no gradient through the ratio (MiniMax-M1, arXiv:2506.13585).

    No token's gradient is cut off, its weight is. ``ceiling`` is ε_max itself, not 1 + ε.
    """
    return -ratios.detach().clamp(max=ceiling) * advantages * log_probabilities


def sapo(
    ratios: Tensor, advantages: Tensor, positive: float = 1.0, negative: float = 1.05
) -> Tensor:
    """-(4/τ)·σ(τ·(w - 1))·A: a soft gate in place of the clip (SAPO, arXiv:2511.20347).

    τ is ``positive`` where A is above 0, else ``negative``.
    """
    temperatures = torch.where(advantages > 0, positive, negative)
    return -4 / temperatures * torch.sigmoid(temperatures * (ratios - 1)) * advantages


def clipped_shares(
    ratios: Tensor, advantages: Tensor, low: float = 0.2, high: float = 0.2
) -> tuple[Tensor, Tensor]:
    """Where :func:`clipped` stops the gradient, at the lower and at the upper limit: 0 or 1."""
    at_low = (ratios < 1 - low) & (advantages < 0)
    at_high = (ratios > 1 + high) & (advantages > 0)
    return at_low.float(), at_high.float()


def _per_sequence(mask: Tensor, max_length: int) -> tuple[Tensor, Tensor]:
    """Mean over an answer's tokens, then over answers (Shao et al. 2024, arXiv:2402.03300)."""
    return mask / _lengths(mask), mask.new_tensor(len(mask), dtype=torch.float32)


def _per_micro_batch(mask: Tensor, max_length: int) -> tuple[Tensor, Tensor]:
    """Mean over the micro-batch's tokens, then over micro-batches: depends on how these are cut."""
    return mask / mask.sum().clamp(min=1), mask.new_tensor(1.0, dtype=torch.float32)


def _per_token(mask: Tensor, max_length: int) -> tuple[Tensor, Tensor]:
    """Mean over all tokens of the step (DAPO, arXiv:2503.14476, equation 8)."""
    return mask.float(), mask.sum().float()


def _per_longest(mask: Tensor, max_length: int) -> tuple[Tensor, Tensor]:
    """Sum over a constant: answers × their greatest length (Dr. GRPO, arXiv:2503.20783)."""
    return mask.float(), mask.new_tensor(len(mask) * max_length, dtype=torch.float32)


def _summed(mask: Tensor, max_length: int) -> tuple[Tensor, Tensor]:
    """Sum over an answer's tokens, mean over answers (LUSPO, arXiv:2602.05261)."""
    return mask.float(), mask.new_tensor(len(mask), dtype=torch.float32)


AGGREGATIONS: dict[Aggregation, Callable[[Tensor, int], tuple[Tensor, Tensor]]] = {
    "grpo": _per_sequence,
    "bnpo": _per_micro_batch,
    "dapo": _per_token,
    "dr_grpo": _per_longest,
    "luspo": _summed,
}


def token_weights(aggregation: Aggregation, mask: Tensor, max_length: int) -> tuple[Tensor, Tensor]:
    """How the losses of a micro-batch's tokens are summed, and what it adds to the step's divisor.

    The loss of a step is the sum of weight · loss over its micro-batches, divided by the sum of
    what these add.

    Parameters
    ----------
    aggregation : {"grpo", "bnpo", "dapo", "dr_grpo", "luspo"}
        See :data:`AGGREGATIONS`; an answer whose mask is empty still counts as one for grpo,
        dr_grpo and luspo.
    mask : Tensor
        Tokens with a loss (B, T), bool.
    max_length : int
        Most tokens that an answer may have (for dr_grpo).

    Returns
    -------
    weights : Tensor
        (B, T), float32.
    divisor : Tensor
        Scalar, float32.
    """
    return AGGREGATIONS[aggregation](mask, max_length)


def _lengths(mask: Tensor) -> Tensor:
    """Tokens in each row, at least 1 so that it can be divided by, (B, 1)."""
    return mask.sum(dim=1, keepdim=True).clamp(min=1)
