from __future__ import annotations

import time

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.data.rules.compat_words import split_piece, split_pieces
from modelwright.data.rules.words import index_pieces, split_further, split_words


# What spaCy 3.8 makes of these.
@pytest.mark.parametrize(
    ("piece", "words"),
    [
        ("word", "word"),
        ("(word),", "( word ) ,"),
        ("don't", "do n't"),
        ("don’t", "do n’t"),
        ("I'd've", "I 'd 've"),
        ("cannot.", "can not ."),
        ("dog's", "dog 's"),
        ("Mr.", "Mr."),
        ("(Mr.", "( Mr."),
        ("'em,", "'em ,"),
        ("e.g.,", "e.g. ,"),
        ("U.S.", "U.S."),
        ("USA.", "USA ."),
        ("A.", "A."),
        ("end.Begin", "end . Begin"),
        ("well-known", "well - known"),
        ("yes—no", "yes — no"),
        ("a--b", "a -- b"),
        ("--flag", "--flag"),
        ("wait...", "wait ..."),
        ("...wait", "... wait"),
        ("and/or", "and/or"),
        ("this/that", "this / that"),
        ("10km", "10 km"),
        ("5pm", "5 pm"),
        ("100%", "100 %"),
        ("$5.00", "$ 5.00"),
        ("1-2", "1 - 2"),
        ("C++", "C++"),
        ("8)", "8)"),
        ("cannot's,", "can not 's ,"),
        ("_dog's_", "_ dog 's _"),
        ("'d'", "'d '"),
        ("last):", "last ):"),
        ("[1:])", "[ 1 :] )"),
        ("oh——.", "oh——."),
        ("'tis—'", "' tis — '"),
        ("(8)", "( 8)"),
        ("__init__", "_ _ init _ _"),
        ("foo(bar)", "foo(bar )"),
        ("key=value", "key = value"),
        ("https://example.org/a-b/c.", "https://example.org/a-b/c ."),
        ("a@b.example", "a@b.example"),
        ("“Oh!”", "“ Oh ! ”"),
        ("{{x}}", "{ { x } }"),
        ("!?", "! ?"),
        ("你好。", "你好 。"),
    ],
)
def test_a_piece_is_split_as_spacy_does(piece: str, words: str) -> None:
    assert list(split_piece(piece)) == words.split()
    assert split_pieces(pl.Series([piece])).to_list() == [words.split()]


cores = st.sampled_from(["s", "d", "id", "Mr", "em", "cannot", "don't", "dog", "A", "USA", "the"])
marks = st.text("([{<\"“`‘'*_—–,:;!?)]}>”’.-", max_size=3)
glued = st.builds("".join, st.tuples(marks, cores, st.sampled_from(["", "'s", "-s"]), marks))
plain = st.text(
    st.one_of(
        st.sampled_from("abzAZTheit019.,;:!?'’\"“”`()[]{}<>_*-–—=/@#$%+…"),
        st.characters(exclude_categories=("Cs", "Z", "Cc")),
    ),
    min_size=1,
    max_size=12,
).filter(lambda piece: len(piece.split()) == 1 and piece == piece.strip())


pieces = st.one_of(plain, glued)


@settings(max_examples=300)
@given(st.lists(pieces, max_size=20))
def test_words_are_the_piece_again_and_the_fast_ways_change_nothing(several: list[str]) -> None:
    split = split_pieces(pl.Series(several, dtype=pl.String)).to_list()
    assert ["".join(words) for words in split] == several
    assert split == [list(split_piece(piece)) for piece in several]


@pytest.mark.parametrize(
    "unit", ["(", ")", ".", "a.", "a-", "@", "a@", "'", "a", "1+", "://", "\\", "é", "don't", "-a."]
)
def test_one_huge_piece_takes_linear_time(unit: str) -> None:
    begin = time.process_time()
    words = list(split_piece(unit * 30_000))
    assert "".join(words) == unit * 30_000
    assert time.process_time() - begin < 5  # quadratic time would take minutes


@given(st.lists(st.text(), max_size=5))
def test_whitespace_words_are_those_of_python(texts: list[str]) -> None:
    found = split_words(pl.Series("text", texts, dtype=pl.String), "whitespace")
    assert found.to_list() == [text.split() for text in texts]


@given(st.lists(st.text(), max_size=5))
def test_compat_words_split_every_piece(texts: list[str]) -> None:
    found = split_words(pl.Series("text", texts, dtype=pl.String), "fineweb-compat")
    wanted = [[word for piece in text.split() for word in split_piece(piece)] for text in texts]
    assert found.to_list() == wanted
    assert found.name == "text"


def test_words_are_numbered_in_the_order_of_their_appearance() -> None:
    words = split_further(index_pieces(pl.Series(["b, a", "", "a b cc."])))
    assert words.vocabulary.to_list() == ["b", ",", "a", "cc", "."]
    assert words.ids.tolist() == [0, 1, 2, 2, 0, 3, 4]
    assert words.offsets.tolist() == [0, 3, 3, 7]
    assert words.counts.tolist() == [3, 0, 4]
