from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.data.sources.description import split_call, without_addresses
from modelwright.data.sources.summary import MAX_CHARACTERS, summarise


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("Return the  square\nroot of x.\n\nMore.", "Return the square root of x."),
        ("Return ``obj`` as a string", "Return `obj` as a string."),
        ("Things to be done here:\n\n* one", "Things to be done here."),
        ("x = f(y)\n\nReturn something of use.", "Return something of use."),
        (
            "Take " + "a value, e.g. one " * 8 + "and go on. " + "Then more of it " * 9 + ".",
            "Take " + "a value, e.g. one " * 8 + "and go on.",
        ),
    ],
)
def test_the_first_paragraph_in_one_line(text, summary):
    assert summarise(text) == summary


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Too short.",
        ">>> print('an example of the use')",
        "Deprecated since 3.9, use another.",
        "Copyright (c) 2001 by somebody, all rights",
        "word " * 60,
        "123 456 789 012 345 678",
    ],
)
def test_what_is_no_summary(text):
    assert summarise(text) is None


@settings(deadline=None)
@given(st.text())
def test_a_summary_is_one_short_line_that_ends(text):
    summary = summarise(text)
    if summary is not None:
        assert 20 <= len(summary) <= MAX_CHARACTERS + 1
        assert "\n" not in summary
        assert summary[-1] in ".!?"


@pytest.mark.parametrize(
    ("name", "text", "signature", "rest"),
    [
        ("pop", "D.pop(k[,d]) -> v, remove the key and return it.", "(k[,d])", "Remove the key"),
        ("keys", "D.keys() -> a set-like object on the keys", "()", "A set-like object"),
        ("max", "max(a) -> value\nmax(a, b) -> value\n\nReturn the largest.", "(a)", "Return the"),
        ("deque", "deque([i]) --> deque object\n\nA list-like sequence.", "([i])", "A list-like"),
        ("clear", "D.clear() -> None.  Remove all items from D.", "()", "Remove all items"),
        ("len", "Return the number of items.", "", "Return the number"),
        ("f", "f(g(x), y)\nWhat it does.", "(g(x), y)", "What it does."),
    ],
)
def test_calls_at_the_start_of_a_docstring(name, text, signature, rest):
    found, remaining = split_call(name, text)
    assert found == signature
    assert remaining.startswith(rest)


def test_addresses_are_taken_out():
    assert without_addresses("(x=<object object at 0x7f12abCD>)") == "(x=<object object>)"
