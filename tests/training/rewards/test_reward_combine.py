from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from modelwright.core.errors import InputError, UsageError
from modelwright.training.rewards.combine import Rewards, Scored, open_rewards
from modelwright.training.rewards.reward import RewardError, Sample, checked
from modelwright.training.rewards.settings import RewardSettings

SAMPLES = [
    Sample("1 + 1", "2", {"answer": "2"}),
    Sample("1 + 2", "a3", {"answer": "3"}),
    Sample("1 + 3", "", {"answer": "4"}),
]


@pytest.fixture
def opened(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def some(samples):\n"
        "    return [None if s.completion == '' else len(s.completion) for s in samples]\n"
        "def bad(samples):\n"
        "    return [float('nan'), 1.0, None]\n"
        "def raises(samples):\n"
        "    raise ValueError(samples[0].completion)\n"
        "def large(samples):\n"
        "    return [1e300, 1, 1]\n"
        "def nothing(samples):\n"
        "    return [None] * len(samples)\n",
        encoding="utf-8",
    )
    found = []

    def open_them(*settings: dict) -> Rewards:
        parsed = TypeAdapter(list[RewardSettings]).validate_python(list(settings))
        found.append(open_rewards(parsed, tmp_path))
        return found[-1]

    yield open_them
    for one in found:
        one.close()


MATCH = {"kind": "exact_match", "weight": 2.0}


def python(function: str, **settings: object) -> dict:
    return {"kind": "python", "function": f"mine.py:{function}", **settings}


def test_values_are_added_with_their_weights_and_kept(opened):
    rewards = opened(MATCH, python("some", weight=-0.5, name="letters"))
    assert rewards.score(SAMPLES) == [
        Scored(1.5, {"exact_match": 1.0, "letters": 1.0}),
        Scored(-1.0, {"exact_match": 0.0, "letters": 2.0}),
        Scored(0.0, {"exact_match": 0.0, "letters": None}),
    ]
    assert rewards.score([]) == []


def test_a_sample_to_which_no_reward_applies_has_no_total(opened):
    rewards = opened(python("nothing"))
    assert rewards.score(SAMPLES) == [Scored(None, {"python": None})] * 3


@pytest.mark.parametrize(
    ("settings", "kind", "what"),
    [
        (python("bad"), RewardError, "gave nan, which is no finite number"),
        (python("raises"), RewardError, "raised ValueError: 2"),
        ({"kind": "exact_match", "field": "missing"}, InputError, "'missing' is missing"),
    ],
)
def test_an_error_stops_by_default(opened, settings, kind, what):
    with pytest.raises((RewardError, InputError)) as caught:
        opened(settings).score(SAMPLES)
    assert what in caught.value.what
    assert "prompt '1 + 1', answer '2'" in str(caught.value.where) or "one of 3" in str(
        caught.value.where
    )


@pytest.mark.parametrize(
    ("settings", "values", "count"),
    [
        (python("bad", on_error="none"), [None, 1.0, None], 1),
        (python("raises", on_error="none"), [None, None, None], 3),
        ({"kind": "exact_match", "field": "missing", "on_error": "none"}, [None] * 3, 3),
        ({"kind": "exact_match", "on_error": "none"}, [1.0, 0.0, 0.0], 0),
    ],
)
def test_errors_are_counted_where_that_is_wanted(opened, settings, values, count):
    rewards = opened({**settings, "name": "x"})
    assert [one.parts["x"] for one in rewards.score(SAMPLES)] == values
    failures = rewards.failures["x"]
    assert failures.count == count
    assert (failures.first is None) == (count == 0)


def test_the_others_count_where_one_has_failed(opened):
    rewards = opened(MATCH, python("raises", on_error="none"))
    assert [one.total for one in rewards.score(SAMPLES)] == [2.0, 0.0, 0.0]


def test_a_sum_that_is_not_finite_is_an_error(opened):
    with pytest.raises(RewardError, match="not finite"):
        opened(python("large", weight=1e300)).score(SAMPLES)


def test_what_cannot_be_opened_leaves_nothing_open(opened):
    import psutil

    before = psutil.Process().children(recursive=True)
    with pytest.raises(RewardError, match="no function 'absent'"):
        opened(python("some", name="one"), python("absent", name="two"))
    assert psutil.Process().children(recursive=True) == before


def test_names_are_told_apart(opened):
    with pytest.raises(UsageError, match="two rewards have the name 'exact_match'"):
        opened(MATCH, MATCH)
    with pytest.raises(UsageError, match="no reward"):
        opened()


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "unknown"},
        {"kind": "regex"},
        {"kind": "regex", "pattern": "("},
        {"kind": "exact_match", "weight": float("inf")},
        {"kind": "exact_match", "weight": float("nan")},
        {"kind": "exact_match", "on_error": "ignore"},
        {"kind": "exact_match", "unknown": 1},
        {"kind": "python", "function": "mine.py"},
        {"kind": "python", "function": "mine:some"},
        {"kind": "python", "function": "mine.py:some()"},
        {"kind": "overlong", "limit": 1, "margin": 2},
    ],
)
def test_settings_that_cannot_be_meant(settings):
    with pytest.raises(ValidationError):
        TypeAdapter(RewardSettings).validate_python(settings)


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_finite_values_are_taken_as_they_are(values):
    samples = [Sample("", "")] * len(values)
    assert checked(values, samples, "") == values


@given(
    st.one_of(
        st.none(),
        st.text(),
        st.floats(),
        st.dictionaries(st.integers(), st.floats()),
        st.lists(st.one_of(st.floats(), st.text(), st.binary(), st.none(), st.lists(st.floats()))),
    )
)
def test_whatever_a_reward_gives_no_nan_comes_through(given_values):
    samples = [Sample("", "")] * 2
    try:
        values = checked(given_values, samples, "")
    except RewardError:
        return
    assert len(values) == 2
    for value in values:
        assert value is None or isinstance(value, RewardError) or abs(value) < float("inf")
