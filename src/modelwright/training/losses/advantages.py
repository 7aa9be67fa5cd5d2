"""How much better than expected: advantages of whole answers (GRPO, RLOO) and of tokens (PPO).

Nothing here has a gradient. Rewards of whole answers come as (G, K), K answers to each of G
prompts, float32; a reward that is nan is not known: it counts in no mean, its advantage is 0.
Values of tokens come as (B, T), with a mask (B, T) of the real ones, bool.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from modelwright.core.errors import InputError
from modelwright.training.losses.kl import KLForm, kl_estimates

Scale = Literal["group", "batch", "none"]

GROUP_EPSILON = 1e-4
"""Added to standard deviations of rewards, which may be 0, as TRL has it."""

WHITENING_EPSILON = 1e-8
"""Added to the variance in :func:`whitened`, as TRL's PPO has it."""


def group_advantages(rewards: Tensor, scale: Scale = "group") -> Tensor:
    """Rewards less their group's mean, over a standard deviation (GRPO).

    (r - mean) / (std + 1e-4), with Bessel's correction (Shao et al. 2024, arXiv:2402.03300,
    section 4.1.2).

    Parameters
    ----------
    rewards : Tensor
        (G, K), K at least 2 where they are scaled.
    scale : {"group", "batch", "none"}
        Whose standard deviation: the group's, that of all rewards, or none (Dr. GRPO: Liu et al.
        2025, arXiv:2503.20783, as dividing favours prompts that are too easy or too hard).

    Returns
    -------
    Tensor
        (G, K), float32.
    """
    advantages = rewards - rewards.nanmean(dim=1, keepdim=True)
    if scale == "group":
        advantages = advantages / (_deviations(rewards) + GROUP_EPSILON)
    elif scale == "batch":
        advantages = advantages / (_deviations(rewards.reshape(1, -1)) + GROUP_EPSILON)
    return advantages.nan_to_num(nan=0.0)


def leave_one_out_advantages(rewards: Tensor) -> Tensor:
    """Rewards (G, K) less the mean of the group's others (RLOO), (G, K).

    Ahmadian et al. 2024, arXiv:2402.14740. A reward that is the only known one of its group has an
    advantage of 0.
    """
    others = (~rewards.isnan()).sum(dim=1, keepdim=True) - 1
    baselines = (rewards.nansum(dim=1, keepdim=True) - rewards) / others  # 0/0 if there are none
    return (rewards - baselines).nan_to_num(nan=0.0)


def groups_without_spread(rewards: Tensor) -> Tensor:
    """Which groups of rewards (G, K) teach nothing, as all known ones are equal: (G,), bool."""
    known = ~rewards.isnan()
    highest = rewards.where(known, -torch.inf).amax(dim=1)
    return highest <= rewards.where(known, torch.inf).amin(dim=1)


def token_rewards(
    log_probabilities: Tensor, reference: Tensor, mask: Tensor, coefficient: float, form: KLForm
) -> Tensor:
    """What each token costs for leaving the reference: -coefficient · KL estimate.

    Section 2.2 of Ziegler et al. 2019 (arXiv:1909.08593), where the estimate is k1.

    Parameters
    ----------
    log_probabilities, reference : Tensor
        Log-probabilities of the sampled tokens under policy and reference (B, T), float32.
    mask : Tensor
        Real tokens (B, T), bool; others get 0.
    coefficient : float
        β.
    form : {"k1", "k2", "k3"}
        See :func:`modelwright.training.losses.kl.kl_estimates`.
    """
    estimates = kl_estimates(form, log_probabilities, reference).masked_fill(~mask, 0)
    return -coefficient * estimates


def add_scores(rewards: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
    """Rewards (B, T) with each row's score (B,) added at the last position of its mask (B, T)."""
    ends = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    last = (mask * ends).amax(dim=1, keepdim=True).clamp(min=1) - 1
    return rewards.scatter_add(1, last, scores[:, None])


def generalised_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, gae_lambda: float = 0.95
) -> tuple[Tensor, Tensor]:
    """GAE (Schulman et al. 2016, arXiv:1506.02438, equation 16).

    δ_t = r_t + γ·V_{t+1} - V_t, A_t = δ_t + γ·λ·A_{t+1}; behind the last real token all are 0.

    Parameters
    ----------
    rewards, values : Tensor
        Of each token (B, T), float32.
    mask : Tensor
        Real tokens, at the start of each row (B, T), bool.
    gamma, gae_lambda : float
        Discount γ and decay λ, from 0 to 1.

    Returns
    -------
    advantages, returns : Tensor
        (B, T), float32; returns are advantages + values, before any whitening.
    """
    rewards, values = rewards.masked_fill(~mask, 0), values.masked_fill(~mask, 0)
    advantages = torch.zeros_like(rewards)
    following = rewards.new_zeros(len(rewards))  # A_{t+1}
    next_values = torch.cat([values[:, 1:], values.new_zeros(len(values), 1)], dim=1)
    deltas = rewards + gamma * next_values - values
    for step in reversed(range(rewards.shape[1])):
        following = deltas[:, step] + gamma * gae_lambda * following
        advantages[:, step] = following
    return advantages, advantages + values


def whitened(values: Tensor, mask: Tensor, keep_mean: bool = False) -> Tensor:
    """Values (B, T) scaled to variance 1 over the real tokens, moved to mean 0; 0 elsewhere.

    The variance is Bessel-corrected. With ``keep_mean`` the mean stays as it was, as for rewards.

    Raises
    ------
    InputError
        If there are fewer than two real tokens, which have no variance.
    """
    real = values[mask]
    if len(real) < 2:
        raise InputError(
            f"{len(real)} tokens have no variance to be whitened with",
            where="rollout",
            fix="sample more or longer answers in a step",
        )
    mean = real.mean()
    scaled = (values - mean) * torch.rsqrt(real.var() + WHITENING_EPSILON)
    return (scaled + mean if keep_mean else scaled).masked_fill(~mask, 0)


def _deviations(rewards: Tensor) -> Tensor:
    """Standard deviation of what is known in each row, Bessel-corrected, (rows, 1)."""
    known = (~rewards.isnan()).sum(dim=1, keepdim=True)
    squares = (rewards - rewards.nanmean(dim=1, keepdim=True)) ** 2
    return (squares.nansum(dim=1, keepdim=True) / (known - 1)).sqrt()
