"""ORPO, SimPO and CPO: formulas in float64, safe ends, what a step divides by."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelwright.training.losses.reference_free import (
    cpo,
    log_odds_ratios,
    odds_ratio,
    orpo,
    orpo_by_answer,
    simpo,
    with_likelihood,
)

MEANS = st.floats(-20.0, -1e-3)


@given(MEANS, MEANS)
def test_log_odds_are_the_formula(chosen: float, rejected: float) -> None:
    def odds(mean: float) -> float:
        return math.exp(mean) / -math.expm1(mean)

    ours = log_odds_ratios(torch.tensor([chosen]), torch.tensor([rejected]))
    wanted = math.log(odds(chosen) / odds(rejected))
    assert ours.item() == pytest.approx(wanted, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("mean", [-1e-6, -0.6931, -0.6932, -100.0])
def test_the_odds_ratio_is_finite_at_both_ends(mean: float) -> None:
    means = torch.tensor([mean], requires_grad=True)
    odds_ratio(means, torch.tensor([-1.0])).sum().backward()  # type: ignore[no-untyped-call]
    assert means.grad is not None
    assert means.grad.isfinite().all()
    assert means.grad.item() <= 0


def test_equal_answers_cost_ln_2() -> None:
    means = torch.tensor([-0.3, -2.0])
    torch.testing.assert_close(odds_ratio(means, means), torch.full((2,), math.log(2)))
    torch.testing.assert_close(simpo(means, means, 2.0, 0.0), torch.full((2,), math.log(2)))


def test_the_two_kinds_of_orpo_differ_in_their_likelihood() -> None:
    chosen, rejected = torch.tensor([-1.0, -2.0]), torch.tensor([-1.5, -1.0])
    text_sums, tokens = torch.tensor([-12.0, -30.0]), 20
    ours = orpo(chosen, rejected, text_sums, tokens / 2, 0.1)
    penalty = 0.1 * odds_ratio(chosen, rejected)
    assert ours.mean().item() == pytest.approx(42 / tokens + penalty.mean().item())
    torch.testing.assert_close(orpo_by_answer(chosen, rejected, 0.1), penalty - chosen)


def test_micro_batches_give_the_mean_over_all_tokens() -> None:
    losses, sums = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([-4.0, -5.0, -9.0])
    whole = with_likelihood(losses, sums, 12 / 3, 0.5)
    assert whole.mean().item() == pytest.approx(2.0 + 0.5 * 18 / 12)
    cut = [with_likelihood(losses[part], sums[part], 12 / 3, 0.5) for part in ([0], [1, 2])]
    assert torch.equal(torch.cat(cut), whole)


def test_simpo_wants_a_margin() -> None:
    chosen, rejected = torch.tensor([-1.0]), torch.tensor([-2.0])
    wanted = -math.log(1 / (1 + math.exp(-(2.0 * 1.0 - 0.5))))
    assert simpo(chosen, rejected, 2.0, 0.5).item() == pytest.approx(wanted)


def test_cpo_is_the_formula() -> None:
    chosen, rejected = torch.tensor([-10.0]), torch.tensor([-12.0])
    chance = 1 / (1 + math.exp(-0.2))
    wanted = -0.9 * math.log(chance) - 0.1 * math.log(1 - chance) + 0.7 * 10 / 4
    assert cpo(chosen, rejected, 4.0, 0.1, 0.7, 0.1).item() == pytest.approx(wanted)
