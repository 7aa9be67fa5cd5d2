"""Advantages: golden numbers of groups, GAE against its definition, whitening, where scores go."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from modelwright.core.errors import InputError
from modelwright.training.losses.advantages import (
    add_scores,
    generalised_advantages,
    group_advantages,
    groups_without_spread,
    leave_one_out_advantages,
    token_rewards,
    whitened,
)

NAN = math.nan
ONE_RIGHT = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
MASK = torch.tensor([[True, True, False, False], [True] * 4, [True, False, False, False]])


def test_golden_numbers_of_a_group() -> None:
    assert group_advantages(ONE_RIGHT)[0].tolist() == pytest.approx(
        [1.4997, -0.4999, -0.4999, -0.4999], abs=5e-5
    )
    assert group_advantages(ONE_RIGHT, "none")[0].tolist() == [0.75, -0.25, -0.25, -0.25]
    third = 1 / 3
    assert leave_one_out_advantages(ONE_RIGHT)[0].tolist() == pytest.approx(
        [1.0, -third, -third, -third]
    )


def test_the_deviation_may_be_that_of_all_groups() -> None:
    rewards = torch.tensor([[1.0, 0.0], [4.0, 0.0]])
    wanted = torch.tensor([[0.5, -0.5], [2.0, -2.0]]) / (rewards.std() + 1e-4)
    torch.testing.assert_close(group_advantages(rewards, "batch"), wanted)


def test_what_is_not_known_counts_in_no_mean() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.0, NAN], [NAN, NAN, 3.0, NAN], [NAN] * 4])
    for found in (
        group_advantages(rewards),
        group_advantages(rewards, "batch"),
        leave_one_out_advantages(rewards),
    ):
        assert found.isfinite().all()
        assert found[rewards.isnan()].eq(0).all()
        assert found[1].eq(0).all()
    assert leave_one_out_advantages(rewards)[0].tolist() == [1.0, -0.5, -0.5, 0.0]
    known = group_advantages(rewards[:1, :3])
    torch.testing.assert_close(group_advantages(rewards)[:1, :3], known)


def test_groups_that_teach_nothing() -> None:
    rewards = torch.tensor([[0.1, 0.1, 0.1], [0.1, 0.1, 0.2], [NAN, 0.3, 0.3], [NAN] * 3])
    assert groups_without_spread(rewards).tolist() == [True, False, True, True]
    assert group_advantages(rewards)[0].abs().max() < 1e-3


@given(st.integers(0, 999), st.integers(2, 8))
def test_leave_one_out_is_the_group_mean_scaled(seed: int, count: int) -> None:
    rewards = torch.randn(3, count, generator=torch.Generator().manual_seed(seed))
    centred = group_advantages(rewards, "none") * count / (count - 1)
    torch.testing.assert_close(leave_one_out_advantages(rewards), centred, rtol=1e-4, atol=1e-5)


@given(st.integers(0, 999), st.floats(0.5, 1.0), st.floats(0.0, 1.0))
def test_gae_is_its_definition(seed: int, gamma: float, decay: float) -> None:
    rewards, values = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(seed))
    advantages, returns = generalised_advantages(rewards, values, MASK, gamma, decay)
    for row, length in enumerate(MASK.sum(1).tolist()):
        after = [*values[row, :length].tolist(), 0.0]
        deltas = [float(rewards[row, t]) + gamma * after[t + 1] - after[t] for t in range(length)]
        wanted = [
            sum((gamma * decay) ** (later - t) * deltas[later] for later in range(t, length))
            for t in range(length)
        ]
        assert advantages[row, :length].tolist() == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    assert advantages[~MASK].eq(0).all()
    torch.testing.assert_close(returns[MASK], (advantages + values)[MASK])


def test_without_decay_and_discount_returns_are_sums_of_rewards() -> None:
    rewards = torch.tensor([[1.0, 2.0, 9.0, 9.0], [1.0, 2.0, 3.0, 4.0], [5.0, 9.0, 9.0, 9.0]])
    _, returns = generalised_advantages(rewards, torch.randn(3, 4), MASK, 1.0, 1.0)
    wanted = torch.tensor([[3.0, 2.0, 0.0, 0.0], [10.0, 9.0, 7.0, 4.0], [5.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(returns, wanted)


def test_whitening() -> None:
    values = torch.tensor([[1.0, 2.0, 99.0, 99.0], [3.0, 4.0, 5.0, 6.0], [7.0, 99.0, 99.0, 99.0]])
    found = whitened(values, MASK)
    assert found[MASK].mean().item() == pytest.approx(0.0, abs=1e-6)
    assert found[MASK].var().item() == pytest.approx(1.0)
    assert found[~MASK].eq(0).all()
    kept = whitened(values, MASK, keep_mean=True)
    torch.testing.assert_close(kept[MASK], found[MASK] + values[MASK].mean())


def test_equal_values_are_whitened_to_nothing() -> None:
    assert whitened(torch.full((3, 4), 2.0), MASK).eq(0).all()


def test_one_token_has_no_variance() -> None:
    with pytest.raises(InputError, match="1 tokens"):
        whitened(torch.ones(1, 2), torch.tensor([[True, False]]))


def test_scores_go_to_the_last_token_or_behind_it() -> None:
    scores = torch.tensor([1.0, 2.0, 3.0])

    def places(mask: Tensor) -> list[list[float]]:
        return add_scores(torch.zeros(3, 4), scores, mask).tolist()

    assert places(MASK) == [[0, 1, 0, 0], [0, 0, 0, 2], [3, 0, 0, 0]]
    longer = torch.tensor(
        [[True, True, True, False], [True, True, True, True], [True, True, False, False]]
    )
    assert places(longer) == [[0, 0, 1, 0], [0, 0, 0, 2], [0, 3, 0, 0]]


def test_tokens_pay_for_leaving_the_reference() -> None:
    now, reference = torch.full((3, 4), -1.0), torch.full((3, 4), -3.0)
    rewards = token_rewards(now, reference, MASK, 0.5, "k1")
    assert rewards[MASK].eq(-1.0).all()
    assert rewards[~MASK].eq(0).all()
