"""A step of PPO with our functions, beside what TRL 1.9.0 worked out of the same rollout.

``ppo_reference.json`` was recorded by ``benchmarks/alignment/ppo_reference.py``; it says with what.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modelwright.training.losses.advantages import (
    add_scores,
    generalised_advantages,
    token_rewards,
    whitened,
)
from modelwright.training.losses.policy import clipped, log_ratios, token_weights
from modelwright.training.losses.value import clipped_value_losses

GOLDEN: Any = json.loads((Path(__file__).parent / "ppo_reference.json").read_text(encoding="utf-8"))


def tensor(case: Any, name: str) -> Tensor:
    """One of the recorded tensors."""
    return torch.tensor(case[name], dtype=torch.float32)


def with_end_state(mask: Tensor) -> Tensor:
    """The mask (B, T) with one token more in each row that has room.

    TRL's PPO gives the score *behind* the last real token where it can, so that there is a value
    of the finished text too.
    """
    return torch.cat([mask[:, :1], mask[:, :-1] | mask[:, 1:]], dim=1)


def masks(case: Any) -> tuple[Tensor, Tensor]:
    """Real tokens, and those that have a value."""
    mask = tensor(case, "mask").bool()
    return mask, with_end_state(mask)


def differences(case: Any) -> dict[str, float]:
    """‖ours - theirs‖ / ‖theirs‖ of all that a step works out, from rollout to gradients."""
    settings, (mask, value_mask) = case["settings"], masks(case)
    raw_advantages, returns = advantages_and_returns(case)
    advantages = whitened(raw_advantages, mask)

    now = tensor(case, "new_log_probabilities").requires_grad_()
    values = tensor(case, "new_values").requires_grad_()
    ratios = log_ratios("token", now, tensor(case, "log_probabilities"), mask).exp()
    clip, value_clip = settings["cliprange"], settings["cliprange_value"]
    policy_losses = clipped(ratios, advantages, clip, clip)
    value_losses = clipped_value_losses(values, tensor(case, "values"), returns, value_clip)

    policy_loss = token_mean(policy_losses, mask)
    value_loss = token_mean(value_losses, value_mask)
    loss = policy_loss + settings["vf_coef"] * value_loss
    gradients = torch.autograd.grad(loss, [now, values])
    ours = {
        "raw_advantages": raw_advantages,
        "advantages": advantages,
        "policy_losses": policy_losses * mask,
        "value_losses": 2 * value_losses * value_mask,  # recorded before the factor ½
        "policy_loss": policy_loss,
        "value_loss": 2 * value_loss,
        "loss": loss,
        "log_probability_gradient": gradients[0],
        "value_gradient": gradients[1],
    }
    recorded = {name: tensor(case, name) for name in ours}
    recorded["advantages"] = recorded["advantages"] * mask
    recorded["policy_losses"] = recorded["policy_losses"] * mask
    recorded["value_losses"] = recorded["value_losses"] * value_mask
    return {
        name: float((ours[name].detach() - recorded[name]).norm() / recorded[name].norm())
        for name in ours
    }


def advantages_and_returns(case: Any) -> tuple[Tensor, Tensor]:
    """Advantages before whitening, and returns."""
    settings, (mask, value_mask) = case["settings"], masks(case)
    rewards = token_rewards(
        tensor(case, "log_probabilities"),
        tensor(case, "reference"),
        mask,
        settings["kl_coef"],
        settings["kl_estimator"],
    )
    rewards = add_scores(rewards, tensor(case, "scores"), value_mask)
    if settings.get("whiten_rewards"):
        rewards = whitened(rewards, value_mask, keep_mean=True)
    return generalised_advantages(
        rewards, tensor(case, "values"), value_mask, settings["gamma"], settings["lam"]
    )


def token_mean(losses: Tensor, mask: Tensor) -> Tensor:
    """Mean over all tokens of the step."""
    weights, divisor = token_weights("dapo", mask, mask.shape[1])
    return (losses * weights).sum() / divisor
