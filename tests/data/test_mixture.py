from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.corpus import new_document, read_documents
from modelwright.data.mixture import copies, repeats, weight_of
from modelwright.data.settings import PrepareSettings

SIZES = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 10**13), min_size=1)


def test_a_weight_is_that_of_the_name_then_of_the_first_pattern_then_one():
    weights = {"files:*": 2.0, "*books": 3.0, "files:books": 4.0}
    assert weight_of("files:books", weights) == 4
    assert weight_of("files:other", weights) == 2
    assert weight_of("web:books", weights) == 3
    assert weight_of("web:pages", weights) == 1


def test_shares_are_as_the_weights_times_the_sizes():
    times = repeats({"a": 100, "b": 300}, {"a": 3.0}, temperature=1, most=100)
    assert times["a"] * 100 == pytest.approx(200)
    assert times["b"] * 300 == pytest.approx(200)


def test_temperature_two_takes_the_square_roots_of_the_sizes():
    times = repeats({"a": 100, "b": 900}, {}, temperature=2, most=100)
    assert times["a"] * 100 == pytest.approx(1000 / 4)
    assert times["b"] * 900 == pytest.approx(1000 * 3 / 4)


@given(SIZES, st.floats(0.001, 1000))
def test_the_whole_stays_if_no_source_is_used_too_often(sizes, temperature):
    times = repeats(sizes, {}, temperature, most=10**15)
    total = sum(sizes.values())
    assert sum(times[name] * size for name, size in sizes.items()) == pytest.approx(total)


@given(SIZES, st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1e6)), st.floats(0.01, 100))
def test_no_source_is_used_more_often_than_allowed_or_less_than_never(sizes, weights, temperature):
    times = repeats(sizes, weights, temperature, most=4)
    assert times.keys() == sizes.keys()
    assert all(0 <= value <= 4 for value in times.values())
    assert all(times[name] == 0 for name in sizes if weights.get(name) == 0)


@given(SIZES)
def test_equal_weights_change_nothing(sizes):
    times = repeats(sizes, dict.fromkeys(sizes, 2.5), temperature=1, most=4)
    assert times == pytest.approx({name: float(size > 0) for name, size in sizes.items()})


def test_a_source_of_weight_zero_leaves_its_share_to_the_others():
    assert repeats({"a": 100, "b": 300}, {"a": 0.0}, 1, most=4) == {
        "a": 0,
        "b": pytest.approx(4 / 3),
    }
    assert repeats({"a": 100}, {"a": 0.0}, 1, most=4) == {"a": 0}
    assert repeats({"a": 0}, {}, 1, most=4) == {"a": 0}


@pytest.mark.parametrize("times", [0, 0.25, 1, 1.5, 3.75])
def test_copies_are_as_many_as_asked_for_on_average(times):
    drawn = random.Random(1)
    numbers = [copies(times, drawn.random()) for _ in range(20_000)]
    assert sum(numbers) / len(numbers) == pytest.approx(times, abs=0.02)
    assert set(numbers) <= {int(times), int(times) + 1}


def test_the_prepare_stage_mixes(run_prepare, make_corpus):
    made = [
        new_document(
            " ".join(random.Random(number).choices("abcdefghijklmnop", k=40)),
            source="rare" if number % 4 == 0 else "frequent",
            url=f"{number}",
            title="",
            licence="MIT",
        )
        for number in range(400)
    ]
    settings = PrepareSettings(mixture={"rare": 3}, workers=1)
    outcome, out = run_prepare(settings, corpus=make_corpus(*made))
    documents = list(read_documents(out))
    assert len({one.id for one in documents}) == len(documents)
    train = [one for one in documents if one.split == "train"]
    rare = [one for one in train if one.source == "rare"]
    assert len(rare) / len(train) == pytest.approx(0.5, abs=0.05)
    assert len(train) == pytest.approx(380, abs=25)
    held_out = [one for one in documents if one.split == "validation"]
    assert {one.text for one in held_out}.isdisjoint(one.text for one in train)
    used = {one.text for one in documents}
    assert outcome.dropped == {"left out by the mixture": 400 - len(used)}
