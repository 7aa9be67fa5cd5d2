from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modelwright.core.errors import InputError
from modelwright.training.rewards.length import length, overlong
from modelwright.training.rewards.reward import Sample
from modelwright.training.rewards.settings import LengthReward, OverlongReward


def of_tokens(count):
    return Sample("", "text", tokens=count)


@pytest.mark.parametrize(
    ("count", "value"), [(100, 0), (90, -0.2), (110, -0.2), (150, -1), (50, -1), (0, -1)]
)
def test_the_distance_from_the_target(count, value):
    reward = length(LengthReward(target=100, tolerance=50))
    assert reward([of_tokens(count)]) == [pytest.approx(value)]


def test_the_tolerance_is_the_target_by_default_and_characters_count_too():
    reward = length(LengthReward(target=4, unit="characters"))
    assert reward([Sample("", "text"), Sample("", ""), Sample("", "tex")]) == [0.0, -1.0, -0.25]


@pytest.mark.parametrize(
    ("count", "value"),
    [(0, 0), (80, 0), (85, -0.25), (90, -0.5), (100, -1), (101, -1), (10**6, -1)],
)
def test_dapo(count, value):
    """Equation 13 of arXiv:2503.14476 with a limit of 100 and a margin of 20."""
    assert overlong(OverlongReward(limit=100, margin=20))([of_tokens(count)]) == [
        pytest.approx(value)
    ]


@given(st.integers(1, 300), st.data())
def test_dapo_is_as_in_trl(limit, data):
    rewards = pytest.importorskip("trl.rewards")
    margin = data.draw(st.integers(1, limit))
    counts = data.draw(st.lists(st.integers(0, 400), min_size=1))
    theirs = rewards.get_soft_overlong_punishment(limit, margin)
    expected = theirs(completion_ids=[[0] * count for count in counts])
    ours = overlong(OverlongReward(limit=limit, margin=margin))
    assert ours([of_tokens(count) for count in counts]) == pytest.approx(expected, abs=1e-12)


def test_an_unknown_number_of_tokens_is_an_error():
    (error,) = overlong(OverlongReward(limit=2, margin=1))([Sample("question", "answer")])
    assert isinstance(error, InputError)
    assert "answer 'answer'" in str(error.where)


def test_a_margin_beyond_the_limit_is_refused():
    with pytest.raises(ValidationError, match="longer than the limit"):
        OverlongReward(limit=2, margin=3)
