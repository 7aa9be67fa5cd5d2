"""The Bradley-Terry loss: golden numbers, margin, centring."""

from __future__ import annotations

import math

import pytest
import torch

from modelwright.training.losses.reward import bradley_terry


def test_equal_rewards_cost_ln_2_whatever_they_are() -> None:
    rewards = torch.tensor([-3.0, 0.0, 900.0])
    torch.testing.assert_close(bradley_terry(rewards, rewards), torch.full((3,), math.log(2)))


def test_margin_and_centring_are_the_formula() -> None:
    chosen, rejected = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 1.0])
    margins = torch.tensor([0.25, 1.0])
    losses = bradley_terry(chosen, rejected, margins, centring=0.01)
    for loss, good, bad, margin in zip(losses, chosen, rejected, margins, strict=True):
        chance = 1 / (1 + math.exp(-float(good - bad - margin)))
        wanted = -math.log(chance) + 0.01 * float(good + bad) ** 2
        assert loss.item() == pytest.approx(wanted, rel=1e-6)


def test_far_apart_it_is_finite() -> None:
    chosen = torch.tensor([-500.0], requires_grad=True)
    loss = bradley_terry(chosen, torch.tensor([500.0]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 1000.0
    assert chosen.grad is not None
    assert chosen.grad.item() == -1.0
