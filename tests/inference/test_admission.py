"""Places, shares, and how long to wait: with a clock of our own."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.inference.admission import (
    LONGEST_WAIT,
    Admission,
    QueueFullError,
    ShareReachedError,
)


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def test_one_owner_alone_gets_half_and_two_a_third_each() -> None:
    one = Admission(12)
    for _ in range(6):
        one.enter(1, "a")
    with pytest.raises(ShareReachedError, match="'a' holds 6 of 12 places"):
        one.enter(1, "a")
    one.enter(1, "b")
    assert one.held == 7
    both = Admission(12)
    for _ in range(20):
        for owner in ("a", "b"):
            try:
                both.enter(1, owner)
            except ShareReachedError:
                continue
    assert both.held == 8


def test_whoever_holds_nothing_is_refused_only_when_it_does_not_fit() -> None:
    admission = Admission(4)
    admission.enter(4, "a")  # all at once, as choices of one request
    with pytest.raises(QueueFullError) as caught:
        admission.enter(1, "b")
    assert not isinstance(caught.value, ShareReachedError)
    with pytest.raises(ShareReachedError):
        admission.enter(1, "a")
    admission.leave("a")
    admission.enter(1, "b")


def test_without_owners_there_are_no_shares() -> None:
    admission = Admission(3)
    admission.enter(2)
    admission.enter(1)
    with pytest.raises(QueueFullError):
        admission.enter(1)


def test_the_wait_follows_the_rate_of_the_last_minute() -> None:
    clock = Clock()
    admission = Admission(10, clock)
    admission.enter(10)
    for _ in range(5):  # one in two seconds
        clock.at += 2
        admission.leave()
        admission.enter(1)

    def seconds(wanted: int) -> int:
        with pytest.raises(QueueFullError) as caught:
            admission.enter(wanted)
        assert f"try again in {caught.value.seconds} s" in str(caught.value)
        return caught.value.seconds

    assert [seconds(wanted) for wanted in (1, 3, 10)] == [2, 6, 20]
    clock.at += 1000  # nothing ended for long
    assert seconds(1) == LONGEST_WAIT


def test_before_anything_has_ended_the_wait_is_as_long_as_it_was_so_far() -> None:
    clock = Clock()
    admission = Admission(1, clock)
    admission.enter(1)
    with pytest.raises(QueueFullError) as caught:
        admission.enter(1)
    assert caught.value.seconds == 1
    clock.at += 17
    with pytest.raises(QueueFullError) as caught:
        admission.enter(1)
    assert caught.value.seconds == 17


def test_time_without_work_does_not_count_to_the_rate() -> None:
    clock = Clock()
    admission = Admission(1, clock)
    admission.enter(1)
    admission.leave()
    clock.at += 30
    admission.enter(1)
    clock.at += 4
    with pytest.raises(QueueFullError) as caught:
        admission.enter(1)
    assert caught.value.seconds == 4


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(-3, 8)), max_size=60),
)
def test_never_more_is_held_than_there_is_and_a_share_leaves_as_much_free(
    places: int, events: list[tuple[str | None, int]]
) -> None:
    admission, held, waits = Admission(places), Counter[str | None](), [1]
    for owner, number in events:
        if number <= 0:
            for _ in range(min(-number, held[owner])):
                admission.leave(owner)
                held[owner] -= 1
            continue
        try:
            admission.enter(number, owner)
        except ShareReachedError:
            assert held[owner] > 0
            assert held[owner] + number > places - held.total() - number
        except QueueFullError as error:
            assert held.total() + number > places
            assert error.seconds in range(1, LONGEST_WAIT + 1)  # noqa: PT017
        else:
            held[owner] += number
        assert admission.held == held.total() <= places
    assert 1 <= min(waits) <= max(waits) <= LONGEST_WAIT
