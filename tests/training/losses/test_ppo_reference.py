"""A step of PPO against what TRL 1.9.0 worked out, from rollout to gradients.

``ppo_reference.json`` was recorded by ``benchmarks/alignment/ppo_reference.py``; it says with what.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from modelwright.training.losses.advantages import (
    add_scores,
    generalised_advantages,
    token_rewards,
    whitened,
    with_end_state,
)
from modelwright.training.losses.policy import clipped, log_ratios, token_weights
from modelwright.training.losses.value import clipped_value_losses

GOLDEN = json.loads((Path(__file__).parent / "ppo_reference.json").read_text(encoding="utf-8"))


@pytest.fixture(params=GOLDEN["cases"])
def case(request: pytest.FixtureRequest) -> Any:
    return GOLDEN["cases"][request.param]


def tensor(case: Any, name: str) -> Tensor:
    return torch.tensor(case[name], dtype=torch.float32)


def close(ours: Tensor, theirs: Tensor) -> None:
    """Relative difference of the whole, at most 1e-5."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def masks(case: Any) -> tuple[Tensor, Tensor]:
    """Real tokens, and those that have a value."""
    mask = tensor(case, "mask").bool()
    return mask, with_end_state(mask)


def rollout(case: Any) -> tuple[Tensor, Tensor]:
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


def test_values_are_wanted_one_token_further(case: Any) -> None:
    assert masks(case)[1].int().tolist() == case["value_mask"]


def test_advantages(case: Any) -> None:
    mask, _ = masks(case)
    advantages, _ = rollout(case)
    close(advantages, tensor(case, "raw_advantages"))
    close(whitened(advantages, mask), tensor(case, "advantages") * mask)


def test_losses_and_gradients(case: Any) -> None:
    settings, (mask, value_mask) = case["settings"], masks(case)
    advantages, returns = rollout(case)
    now = tensor(case, "new_log_probabilities").requires_grad_()
    values = tensor(case, "new_values").requires_grad_()
    ratios = log_ratios("token", now, tensor(case, "log_probabilities"), mask).exp()
    clip = settings["cliprange"]
    policy_losses = clipped(ratios, whitened(advantages, mask), clip, clip)
    close(policy_losses * mask, tensor(case, "policy_losses") * mask)
    value_losses = clipped_value_losses(
        values, tensor(case, "values"), returns, settings["cliprange_value"]
    )
    close(2 * value_losses * value_mask, tensor(case, "value_losses") * value_mask)

    weights, divisor = token_weights("dapo", mask, mask.shape[1])
    policy_loss = (policy_losses * weights).sum() / divisor
    weights, divisor = token_weights("dapo", value_mask, mask.shape[1])
    value_loss = (value_losses * weights).sum() / divisor
    loss = policy_loss + settings["vf_coef"] * value_loss
    close(policy_loss, tensor(case, "policy_loss"))
    close(value_loss, tensor(case, "value_loss"))
    close(loss, tensor(case, "loss"))
    gradients = torch.autograd.grad(loss, [now, values])
    close(gradients[0], tensor(case, "log_probability_gradient"))
    close(gradients[1], tensor(case, "value_gradient"))


def test_the_recorded_step_reaches_both_clips(case: Any) -> None:
    """Else the comparison would say nothing of them."""
    settings, (mask, value_mask) = case["settings"], masks(case)
    moved = (tensor(case, "new_log_probabilities") - tensor(case, "log_probabilities")).exp()
    assert ((moved - 1).abs() > settings["cliprange"])[mask].any()
    assert tensor(case, "log_probability_gradient")[mask].eq(0).any()
    changed = (tensor(case, "new_values") - tensor(case, "values")).abs()
    assert (changed > settings["cliprange_value"])[value_mask].any()
