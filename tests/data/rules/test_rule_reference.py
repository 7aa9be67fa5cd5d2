"""The vectorised scores against the plain reference, on texts of every shape."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rule_reference import compat_words, reference, whitespace_words

from modelwright.data.rules.score import score_rules
from modelwright.data.rules.table import RULE_COLUMNS

WORDS = """
the be of with dog dogs cat's don't Mr. e.g. 3 42. é 你好 C++ x—y a-b-c foo(bar) "quoted" it's . !
... … # • - { } [1] [edit] ([12]) javascript JavaScript lorem ipsum HELLO WORLD Sign-in likes 2024
use cookies 1,200 views items in cart Read more... https://a.org/b?c=d ? ؟ 。
"""
SPACES = [" ", " ", " ", " ", "\n", "\n", "\n\n", "\n\n\n", "\r\n", "\t", "\u2028", "\x1c", "\x85"]

phrases = st.sampled_from(
    [
        *WORDS.split(),
        "lorem ipsum",
        "use cookies",
        "3 likes",
        "items in cart",
        "Read more...",
        "x" * 1001,
    ]
)
sentences = st.lists(st.tuples(phrases, st.sampled_from(SPACES)), max_size=60)
built = sentences.map(lambda pairs: "".join(word + space for word, space in pairs))
repeated = st.tuples(built, st.integers(1, 4)).map(lambda pair: pair[0] * pair[1])
latin = st.text(st.characters(max_codepoint=0x24F, exclude_categories=("Cs", "Cn")))
texts = st.one_of(built, repeated, latin, st.sampled_from(["", "\n", "\r\n\r\n", " \n ", "word"]))


@pytest.mark.parametrize("edits", ["none", "c4", "c4-terminal", "refinedweb"])
@pytest.mark.parametrize(
    ("profile", "split"), [("whitespace", whitespace_words), ("fineweb-compat", compat_words)]
)
@settings(max_examples=40)
@example(batch=["Read more... items in cart\n"])
@given(batch=st.lists(texts, max_size=5))
def test_scores_are_those_of_the_reference(
    batch: list[str], profile: Any, split: Any, edits: Any
) -> None:
    found = score_rules(pl.Series(batch, dtype=pl.String), profile, edits)
    rows = found.scores.rows(named=True)
    assert len(rows) == len(batch)
    for text, edited, row in zip(batch, found.texts.to_list(), rows, strict=True):
        wanted_text, wanted = reference(text, split, edits)
        assert edited == wanted_text
        assert row == pytest.approx(wanted)
        assert list(row) == list(RULE_COLUMNS)


@settings(max_examples=30)
@given(batch=st.lists(texts, min_size=1, max_size=6), cut=st.integers(0, 6))
def test_scores_of_a_text_depend_on_that_text_alone(batch: list[str], cut: int) -> None:
    whole = score_rules(pl.Series(batch), "fineweb-compat", "c4")
    first = score_rules(pl.Series(batch[:cut], dtype=pl.String), "fineweb-compat", "c4")
    second = score_rules(pl.Series(batch[cut:], dtype=pl.String), "fineweb-compat", "c4")
    assert whole.scores.equals(pl.concat([first.scores, second.scores]))
    assert whole.texts.to_list() == first.texts.to_list() + second.texts.to_list()
