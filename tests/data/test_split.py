from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modelwright.data.split import hold_out, position

KEYS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=30)
FRACTION = st.floats(0.01, 0.99)


@settings(deadline=None)
@given(seed=st.integers(0), key=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_position_is_in_the_half_open_unit_interval(seed, key):
    assert 0 <= position(seed, key) < 1


@settings(deadline=None)
@given(keys=KEYS, others=KEYS, fraction=FRACTION, seed=st.integers(0, 9))
def test_the_answer_for_an_item_does_not_change_when_others_come(keys, others, fraction, seed):
    alone = hold_out(keys, seed, fraction)
    positions = [position(seed, key) for key in keys]
    assume(min(positions, default=0) < fraction <= max(positions, default=0))
    assert hold_out(keys + others, seed, fraction)[: len(keys)] == alone


@settings(deadline=None)
@given(keys=KEYS, fraction=FRACTION, seed=st.integers(0, 9))
def test_neither_side_is_empty_and_equal_items_stay_together(keys, fraction, seed):
    held_out = hold_out(keys, seed, fraction)
    if len(set(keys)) > 1:
        assert any(held_out)
        assert not all(held_out)
    answers = dict(zip(keys, held_out, strict=True))
    assert [answers[key] for key in keys] == held_out


def test_the_share_is_near_the_fraction_and_the_seed_matters():
    keys = [str(number) for number in range(10_000)]
    first, second = hold_out(keys, 0, 0.1), hold_out(keys, 1, 0.1)
    assert sum(first) == pytest.approx(1000, abs=100)
    assert first != second


def test_a_fraction_of_zero_holds_out_nothing():
    assert hold_out(["a", "b"], 0, 0.0) == [False, False]
