"""Packing: every item once, no row too full, and not many more rows than needed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import InputError
from modelwright.training.packing import pack

CAPACITY = st.integers(1, 40)


@st.composite
def problems(draw: st.DrawFn, most: int = 60) -> tuple[list[int], int]:
    capacity = draw(CAPACITY)
    return draw(st.lists(st.integers(0, capacity), max_size=most)), capacity


@given(problem=problems())
def test_every_item_is_in_one_row_that_holds_it(problem: tuple[list[int], int]) -> None:
    lengths, capacity = problem
    rows = pack(lengths, capacity)
    assert sorted(item for row in rows for item in row) == list(range(len(lengths)))
    assert all(sum(lengths[item] for item in row) <= capacity for row in rows)
    assert pack(lengths, capacity) == rows


@given(problem=problems())
def test_an_item_goes_into_the_fullest_row_that_holds_it(problem: tuple[list[int], int]) -> None:
    lengths, capacity = problem
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [room for room in rooms if room >= length]
        if fitting:
            rooms[rooms.index(min(fitting))] -= length
        else:
            rooms.append(capacity - length)
    packed = [capacity - sum(lengths[item] for item in row) for row in pack(lengths, capacity)]
    assert sorted(packed) == sorted(rooms)


def fewest(lengths: list[int], capacity: int) -> int:
    """The fewest rows there can be, by trying everything."""
    best = len(lengths)

    def place(item: int, rooms: list[int]) -> None:
        nonlocal best
        if len(rooms) >= best:
            return
        if item == len(lengths):
            best = len(rooms)
            return
        for row in range(len(rooms)):
            if rooms[row] >= lengths[item]:
                rooms[row] -= lengths[item]
                place(item + 1, rooms)
                rooms[row] += lengths[item]
        place(item + 1, [*rooms, capacity - lengths[item]])

    place(0, [])
    return best


@given(problem=problems(most=8))
def test_rows_are_not_many_more_than_needed(problem: tuple[list[int], int]) -> None:
    lengths, capacity = problem
    assert len(pack(lengths, capacity)) <= 11 / 9 * fewest(sorted(lengths)[::-1], capacity) + 1


def test_lengths_as_examples_have_them_fill_the_rows() -> None:
    chance = random.Random(0)
    lengths = [min(1024, 8 + int(chance.expovariate(1 / 120))) for _ in range(20_000)]
    rows = pack(lengths, 1024)
    assert len(rows) <= 1.01 * sum(lengths) / 1024 + 1


def test_what_is_longer_than_a_row_is_refused() -> None:
    with pytest.raises(InputError, match="item 1 has length 5, and a row holds 4"):
        pack([4, 5], 4)
    assert pack([], 4) == []
