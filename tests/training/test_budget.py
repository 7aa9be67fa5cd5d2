import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import UsageError
from modelwright.training.budget import Budget, Horizon
from modelwright.training.schedule import WarmupStableDecay


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("5 minutes", 300, "seconds"),
        ("1 minute", 60, "seconds"),
        ("90s", 90, "seconds"),
        ("1.5 h", 5400, "seconds"),
        ("2 hours", 7200, "seconds"),
        ("2000 steps", 2000, "steps"),
        ("3M tokens", 3e6, "tokens"),
        ("2.5k steps", 2500, "steps"),
        ("1e6 tokens", 1e6, "tokens"),
        ("10B tokens", 1e10, "tokens"),
        ("0.5 epochs", 0.5, "epochs"),
        (" 4 Epochs ", 4, "epochs"),
        ("1e15 FLOPs", 1e15, "FLOPs"),
        ("2.5 PFLOPs", 2.5e15, "FLOPs"),
        ("7 GFLOPs", 7e9, "FLOPs"),
        ("3e21 flops", 3e21, "FLOPs"),
    ],
)
def test_budgets_are_read(text: str, amount: float, unit: str) -> None:
    budget = Budget.parse(text)
    assert (budget.amount, budget.unit) == (amount, unit)
    assert Budget.parse(str(budget)).amount == pytest.approx(amount, rel=1e-3)


@pytest.mark.parametrize(
    "text", ["", "5", "minutes", "five minutes", "-1 s", "0 steps", "1e999 steps", "5 kg"]
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Budget.parse(text)


def test_fixed_amounts_become_steps() -> None:
    def steps(text: str) -> int | None:
        return Horizon.of(Budget.parse(text), 100, 7, flops_per_token=1e6).total_steps

    assert steps("20 steps") == 20
    assert steps("2000 tokens") == 20
    assert steps("3 epochs") == 21
    assert steps("0.001 epochs") == 1
    assert steps("2 GFLOPs") == 20


@given(total=st.integers(1, 300))
def test_a_fixed_horizon_ends_after_exactly_its_steps(total: int) -> None:
    horizon, step = Horizon(total, None), 0
    while not horizon.is_over:
        horizon.advance(step, 1.0)
        step += 1
    assert step == total


@given(limit=st.floats(5, 500), clock=st.randoms(use_true_random=False))
def test_a_horizon_in_time_ends_when_the_time_is_up(limit: float, clock: random.Random) -> None:
    horizon, step, progress = Horizon(None, limit), 0, 0.0
    while not horizon.is_over:
        horizon.advance(step, clock.uniform(0.05, 0.5))
        assert horizon.progress >= progress
        progress = horizon.progress
        step += 1
    assert limit - 1.5 <= horizon.seconds <= limit + 1.0


def test_warm_up_and_decay() -> None:
    schedule = WarmupStableDecay(warmup=0.1, decay=0.5)
    total = 100
    rates = [schedule.multiplier(step / total, (step + 1) / total) for step in range(total)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[10:49] == [1.0] * 39
    assert rates[-1] == pytest.approx(0.01)
    assert min(rates) > 0
    assert all(a >= b for a, b in pairwise(rates[50:]))


def test_what_came_before_the_first_step_is_not_expected_again() -> None:
    horizon = Horizon(100, None, seconds=20.0)
    left = []
    for step in range(3):
        horizon.advance(step, 0.5)
        left.append(horizon.seconds_left(step + 1))
    assert left == [pytest.approx(0.5 * (100 - step)) for step in (1, 2, 3)]
    assert horizon.seconds == pytest.approx(21.5)


def test_what_came_before_the_first_step_is_taken_off_the_time() -> None:
    horizon = Horizon(None, 12.0, seconds=9.0)
    horizon.advance(0, 0.5)
    assert horizon.seconds_left(1) == pytest.approx(2.5)
    steps = 1
    while not horizon.is_over:
        horizon.advance(steps, 0.5)
        steps += 1
    assert steps <= 6
