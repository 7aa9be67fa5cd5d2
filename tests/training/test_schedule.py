"""Schedules: bounded, continuous, ending where they say, blind to the size of steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import UsageError
from modelwright.training.schedule import (
    Cosine,
    Schedule,
    ScheduleName,
    WarmupStableDecay,
    schedule,
)

NAMES: tuple[ScheduleName, ...] = ("wsd", "cosine", "linear", "constant")


@st.composite
def schedules(draw: st.DrawFn) -> tuple[ScheduleName, float, float, float, Schedule]:
    name = draw(st.sampled_from(NAMES))
    warmup = draw(st.just(0.0) | st.floats(0.01, 0.5))
    decay = draw(st.just(0.0) | st.floats(0.01, 1 - warmup))
    floor = draw(st.floats(0, 1))
    return name, warmup, decay, floor, schedule(name, warmup, decay, floor)


fractions = st.floats(0, 1)


@given(schedules(), fractions, fractions)
def test_bounded_and_a_function_of_the_middle(
    made: tuple[ScheduleName, float, float, float, Schedule], start: float, end: float
) -> None:
    start, end = min(start, end), max(start, end)
    value = made[-1].multiplier(start, end)
    middle = (start + end) / 2
    assert 0.0 <= value <= 1.0
    assert value == made[-1].multiplier(middle, middle)


@given(schedules(), fractions)
def test_continuous(made: tuple[ScheduleName, float, float, float, Schedule], place: float) -> None:
    near = min(1.0, place + 1e-6)
    difference = made[-1].multiplier(near, near) - made[-1].multiplier(place, place)
    assert abs(difference) < 2e-4  # the steepest part rises by 1 in 0.01


@given(schedules())
def test_starts_and_ends_where_it_says(
    made: tuple[ScheduleName, float, float, float, Schedule],
) -> None:
    name, warmup, decay, floor, it = made
    falls = name != "constant" and not (name == "wsd" and decay == 0)
    assert it.multiplier(0, 0) == (0.0 if warmup > 0 else 1.0)
    assert it.multiplier(warmup, warmup) == pytest.approx(1.0)
    assert it.multiplier(1, 1) == pytest.approx(floor if falls else 1.0)


@given(schedules(), fractions, fractions)
def test_never_rises_after_the_warmup(
    made: tuple[ScheduleName, float, float, float, Schedule], first: float, second: float
) -> None:
    warmup, it = made[1], made[-1]
    first, second = sorted(warmup + (1 - warmup) * part for part in (first, second))
    assert it.multiplier(second, second) <= it.multiplier(first, first) + 1e-12


def test_known_values() -> None:
    assert WarmupStableDecay(0.1, 0.5).multiplier(0.0, 0.1) == pytest.approx(0.5)
    assert WarmupStableDecay(0.1, 0.5).multiplier(0.5, 1.0) == pytest.approx(0.5)
    assert WarmupStableDecay(0.1, 0.5, 0.2).multiplier(0.5, 1.0) == pytest.approx(0.6)
    assert Cosine(0.2, 0.1).multiplier(0.6, 0.6) == pytest.approx(0.55)
    assert schedule("linear", 0.0, 0.3).multiplier(0.25, 0.25) == pytest.approx(0.75)


def test_the_last_step_is_not_lost() -> None:
    for name in NAMES:
        assert schedule(name, 0.02, 0.6).multiplier(0.99, 1.0) > 0


@pytest.mark.parametrize(
    ("warmup", "decay", "floor"), [(0.5, 0.6, 0.0), (-0.1, 0.5, 0.0), (0.0, 0.5, 1.5), (1, 0, 0)]
)
def test_impossible_fractions_are_refused(warmup: float, decay: float, floor: float) -> None:
    with pytest.raises(UsageError):
        schedule("wsd", warmup, decay, floor)
