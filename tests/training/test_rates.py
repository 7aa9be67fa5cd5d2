"""Rates by rule: powers of ratios, and today's rates by default."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.training.dial import SHAPES, choice_for
from modelwright.training.rates import (
    PRETRAINING,
    Exponents,
    RateRules,
    Rates,
    RunSize,
    batch_for,
)

sizes = st.builds(RunSize, st.integers(64, 4096), st.floats(1e3, 1e7), st.floats(1e5, 1e11))


@given(sizes)
def test_without_exponents_rates_are_the_same_for_all(size: RunSize) -> None:
    assert PRETRAINING.rates_for(size) == Rates(1e-2, 2e-2, 0.1)


@pytest.mark.parametrize(("width", "layers"), SHAPES)
def test_defaults_are_what_the_dial_chooses(width: int, layers: int) -> None:
    chosen = choice_for(width, layers, 8e6, "1000 steps")["pretrain"]
    size = RunSize(width, chosen["batch_rows"] * chosen["sequence_length"], 8e6)
    rates = PRETRAINING.rates_for(size)
    assert (rates.tables, rates.matrices) == (
        chosen["learning_rate"],
        chosen["matrix_learning_rate"],
    )


def test_each_rate_follows_its_exponents() -> None:
    rules = RateRules(
        RunSize(256, 8192, 1e7),
        Rates(1e-2, 2e-2, 0.1),
        tables=Exponents(width=-0.5, batch=0.5),
        matrices=Exponents(horizon=-0.32),
    )
    rates = rules.rates_for(RunSize(1024, 32_768, 1e9))
    assert rates.tables == pytest.approx(1e-2 * 0.5 * 2)
    assert rates.matrices == pytest.approx(2e-2 * 100**-0.32)
    assert rates.weight_decay == 0.1
    assert rules.rates_for(rules.reference) == rules.rates


def test_the_batch_grows_with_the_horizon() -> None:
    assert batch_for(8e6, 8192, 8e6) == 8192
    assert batch_for(8e8, 8192, 8e6) == pytest.approx(8192 * 100**0.383)
