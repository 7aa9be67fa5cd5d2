import math

import pytest

from modelwright.training.rates import (
    LEARNING_RATE,
    MATRIX_LEARNING_RATE,
    TOKENS,
    WEIGHT_DECAY,
    WIDTH,
    rates_for,
)


def test_the_tuned_point_is_kept() -> None:
    rates = rates_for(WIDTH, TOKENS, 256)
    assert rates.rows == 8
    assert rates.learning_rate == LEARNING_RATE
    assert rates.matrix_learning_rate == MATRIX_LEARNING_RATE
    assert rates.weight_decay == WEIGHT_DECAY


def test_rates_follow_width_and_batch() -> None:
    narrow, wide = rates_for(128, 1e6, 256), rates_for(512, 1e6, 256)
    assert wide.learning_rate == pytest.approx(narrow.learning_rate / 2, rel=0.01)
    assert wide.matrix_learning_rate == narrow.matrix_learning_rate
    longer = rates_for(128, 1e6 * 4 ** (1 / 0.383), 256)
    assert longer.rows == 4 * narrow.rows
    assert longer.learning_rate == pytest.approx(2 * narrow.learning_rate, rel=0.01)


def test_the_weights_remember_the_same_part_of_every_run() -> None:
    remembered = []
    for tokens in (1e6, 3e6, 1e7):
        rates = rates_for(256, tokens, 256)
        steps = tokens / (256 * rates.rows)
        remembered.append(rates.matrix_learning_rate * rates.weight_decay * steps)
    assert max(remembered) < 1.05 * min(remembered)


def test_rates_do_not_run_away_with_long_runs() -> None:
    longest, longer = rates_for(1024, 1e12, 256), rates_for(1024, 1e10, 256)
    assert longest.matrix_learning_rate == longer.matrix_learning_rate <= 0.08
    assert longest.weight_decay == 0.01


def test_rates_follow_the_rows_that_are_given() -> None:
    few, many = rates_for(192, 1e6, 256, rows=4), rates_for(192, 1e6, 256, rows=16)
    assert (few.rows, many.rows) == (4, 16)
    assert many.learning_rate == pytest.approx(2 * few.learning_rate, rel=0.01)


def test_a_start_from_bigrams_is_not_undone_by_a_short_run() -> None:
    for tokens in (2e5, 1e6, 2e6):
        gentle, usual = (rates_for(192, tokens, 256, start) for start in ("bigrams", "random"))
        assert gentle.learning_rate < usual.learning_rate
        assert gentle.matrix_learning_rate <= usual.matrix_learning_rate
        assert (gentle.rows, gentle.weight_decay) == (usual.rows, usual.weight_decay)
    shorter, short = rates_for(192, 2e5, 256, "bigrams"), rates_for(192, 4e5, 256, "bigrams")
    assert shorter.matrix_learning_rate < short.matrix_learning_rate
    assert rates_for(192, 1e7, 256, "bigrams") == rates_for(192, 1e7, 256, "random")


def test_a_short_window_keeps_the_tokens_of_a_step() -> None:
    for length in (64, 256, 1024):
        assert math.isclose(rates_for(192, 1e6, length).rows * length, 2048)
