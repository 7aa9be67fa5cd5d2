"""A step of PPO equals what TRL 1.9.0 worked out, from rollout to gradients."""

from __future__ import annotations

from typing import Any

import pytest
from ppo_golden import GOLDEN, differences, masks, tensor


@pytest.fixture(params=GOLDEN["cases"])
def case(request: pytest.FixtureRequest) -> Any:
    return GOLDEN["cases"][request.param]


def test_values_are_wanted_one_token_further(case: Any) -> None:
    assert masks(case)[1].int().tolist() == case["value_mask"]


def test_advantages_losses_and_gradients(case: Any) -> None:
    found = differences(case)
    assert max(found.values()) <= 1e-5, found


def test_the_recorded_step_reaches_both_clips(case: Any) -> None:
    """Else the comparison would say nothing of them."""
    settings, (mask, value_mask) = case["settings"], masks(case)
    moved = (tensor(case, "new_log_probabilities") - tensor(case, "log_probabilities")).exp()
    assert ((moved - 1).abs() > settings["cliprange"])[mask].any()
    assert tensor(case, "log_probability_gradient")[mask].eq(0).any()
    changed = (tensor(case, "new_values") - tensor(case, "values")).abs()
    assert (changed > settings["cliprange_value"])[value_mask].any()
