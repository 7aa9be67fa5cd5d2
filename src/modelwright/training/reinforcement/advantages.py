"""From a rollout to what is learnt of each answer, by method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from modelwright.training.losses.advantages import (
    Scale,
    add_scores,
    generalised_advantages,
    group_advantages,
    leave_one_out_advantages,
    token_rewards,
    whitened,
)
from modelwright.training.losses.kl import KLForm
from modelwright.training.reinforcement.rollout import Rollout


@dataclass(frozen=True)
class Learnt:
    """What a rollout says of its N answers of at most L ids.

    Attributes
    ----------
    advantages : Tensor
        (N, 1) or (N, L), float32.
    returns : Tensor or None
        What a value head should have said (N, L).
    """

    advantages: Tensor
    returns: Tensor | None = None


Estimate = Callable[[Rollout], Learnt]


def by_group(scale: Scale) -> Estimate:
    """GRPO: rewards beside those of the same prompt."""
    return lambda rollout: Learnt(group_advantages(rollout.rewards, scale).reshape(-1, 1))


def by_leaving_one_out(kl_form: KLForm) -> Estimate:
    """RLOO: rewards, less what leaving the reference costs, beside those of the same prompt."""

    def estimate(rollout: Rollout) -> Learnt:
        rewards = rollout.rewards
        if "reference" in rollout.tensors:
            costs = _token_costs(rollout, kl_form).sum(dim=1)
            rewards = rewards + costs.view(rewards.shape)
        return Learnt(leave_one_out_advantages(rewards).reshape(-1, 1))

    return estimate


def by_value(discount: float, trace: float, kl_form: KLForm, whitens_rewards: bool) -> Estimate:
    """PPO: GAE over the ids, with the reward at the last one and a cost at each."""

    def estimate(rollout: Rollout) -> Learnt:
        mask = rollout.mask()
        rewards = torch.zeros(mask.shape)
        if "reference" in rollout.tensors:
            rewards = _token_costs(rollout, kl_form)
        scores = rollout.rewards.flatten()
        known = scores.isfinite()
        rewards = add_scores(rewards, scores.nan_to_num(), mask)
        if whitens_rewards:
            rewards = whitened(rewards, mask, keep_mean=True)
        values = rollout.tensors["values"]
        advantages, returns = generalised_advantages(rewards, values, mask, discount, trace)
        counted = mask & known[:, None]
        advantages = whitened(advantages, counted) if int(counted.sum()) > 1 else advantages * 0
        return Learnt(advantages, returns.where(known[:, None], values))

    return estimate


def _token_costs(rollout: Rollout, kl_form: KLForm) -> Tensor:
    tensors = rollout.tensors
    return token_rewards(
        tensors["old"], tensors["reference"], rollout.mask(), rollout.kl_coefficient, kl_form
    )
