from __future__ import annotations

import doctest
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.training.rewards import numbers
from modelwright.training.rewards.numbers import last_number, without_commas

WORDS = st.text(st.characters(categories=["L", "Zs"], exclude_characters="eE"))
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=3) | st.integers().map(Decimal)


def test_examples():
    assert doctest.testmod(numbers).attempted > 2
    assert doctest.testmod(numbers).failed == 0


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("72", "72"),
        ("The answer is 72.", "72"),
        ("$1,234.50", "1234.50"),
        ("1,234,567", "1234567"),
        ("1234,567", "567"),
        ("10-3=7", "7"),
        ("10-3", "3"),
        ("(10)-3", "3"),
        ("x = -3", "-3"),
        ("x=−3.5", "-3.5"),
        ("from 5 to +6", "6"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("2.5e3", "2500"),
        ("5em", "5"),
        ("1e9999999999", "9999999999"),
        ("50%", "50"),
        ("H2O", "2"),
        ("１２", None),
        ("", None),
        ("no number", None),
        ("-", None),
        ("...", None),
    ],
)
def test_the_last_number(text, number):
    assert last_number(text) == (None if number is None else Decimal(number))


@given(WORDS, NUMBERS, WORDS)
def test_a_number_among_words_is_found(before, number, after):
    assert last_number(f"{before} {number:f} {after}") == number


@given(WORDS, NUMBERS)
def test_grouped_by_commas_it_is_the_same(before, number):
    assert last_number(f"{before} {number:,f}.") == number
    assert without_commas(f"{number:,f}") == f"{number:f}"


@given(st.text())
def test_any_text_gives_a_finite_number_or_none(text):
    number = last_number(text)
    assert number is None or number.is_finite()


@given(st.text("0123456789,.-+eE ", max_size=5000))
def test_texts_of_digits_are_no_trouble(text):
    number = last_number(text)
    assert (number is None) == (not any(character.isdigit() for character in text))
