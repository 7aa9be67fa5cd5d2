"""Normalised words against a reference written character by character."""

from __future__ import annotations

import itertools
import re
import unicodedata

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.duplicates.words import word_hashes

# Old characters only: Python and Polars may know different versions of Unicode.
ALPHABET = "abcxyzABCXYZ0129 .,;'-_!\n\t\u00a0" + "éÉñßÆøı" + "αΩДжשﬁｆＡ１" + "٣٤०१²½"
ALPHABET += "“”’—…。、·×€" + "\u00ad\u200b\u200d\ufeff" + "e\u0301\u0308" + "漢字かなカ๑กခ"
TEXTS = st.lists(st.text(ALPHABET, max_size=60), max_size=6)


def reference_words(text: str) -> list[str]:
    """The definition in the module's docstrings, with Python's own tables."""
    kept = "".join(
        character if ord(character) < 128 or category[0] in "LMN" or category == "Cf" else " "
        for character, category in ((c, unicodedata.category(c)) for c in text)
    )
    if not kept.isascii():
        decomposed = unicodedata.normalize("NFKD", kept)
        kept = "".join(c for c in decomposed if unicodedata.category(c) not in ("Mn", "Cf"))
        kept = re.sub(r"\d+(?:[.,]\d+)*", "0", kept.lower())
        kept = "".join(f" {c} " if is_written_without_spaces(c) else c for c in kept)
    kept = re.sub(r"[0-9]+(?:[.,][0-9]+)*", "0", kept)
    return re.findall(r"(?:[a-z0-9]|[^\x00-\x7f])+", kept.lower())


def is_written_without_spaces(character: str) -> bool:
    name = unicodedata.name(character, "")
    return name.startswith(("CJK UNIFIED", "HIRAGANA", "KATAKANA", "THAI", "MYANMAR"))


def words_of(*texts: str) -> list[list[int]]:
    hashes, offsets = word_hashes(pl.Series(texts, dtype=pl.String))
    assert offsets[0] == 0
    assert offsets[-1] == len(hashes)
    return [hashes[a:b].tolist() for a, b in itertools.pairwise(offsets)]


@given(TEXTS)
def test_words_are_equal_exactly_where_the_reference_says(texts: list[str]) -> None:
    expected = [reference_words(text) for text in texts]
    found = words_of(*texts)
    assert [len(words) for words in found] == [len(words) for words in expected]
    pairs = {
        pair
        for words, hashes in zip(expected, found, strict=True)
        for pair in zip(words, hashes, strict=True)
    }
    assert len(pairs) == len({word for word, _ in pairs}) == len({hash_ for _, hash_ in pairs})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The cost was 1,234.50 dollars.", "the cost - was 7 dollars"),
        ("“Don’t,” she said — twice…", "don t she said twice"),
        ("Crème brûlée", "CREME BRULEE"),
        ("cre\u0300me", "crème"),
        ("eﬃcient ｆｕｌｌ", "efficient full"),
        ("hy\u00adphen zero\u200bwidth", "hyphen zerowidth"),
        ("page ٣٤", "page 12"),
        ("漢字かな", "漢 字、か。な"),
        ("ĀBC İstanbul", "abc istanbul"),
    ],
)
def test_what_makes_no_difference(one: str, other: str) -> None:
    first, second = words_of(one, other)
    assert first
    assert first == second


def test_words_of_every_length_differ() -> None:
    words = ["a" * length for length in range(1, 70)]
    words += ["b" * 16 + "a" * length for length in range(1, 20)]
    words += ["a" * 8 + "b" * 8, "b" * 8 + "a" * 8]  # the same pieces in another order
    (hashes,) = words_of(" ".join(words))
    assert len(set(hashes)) == len(words) == len(hashes)


def test_texts_do_not_run_together() -> None:
    assert words_of("one", "two", "", "  ", "three") == [
        *words_of("one"),
        *words_of("two"),
        [],
        [],
        *words_of("three"),
    ]


def test_no_texts() -> None:
    assert words_of() == []


def test_a_word_of_a_megabyte_is_hashed_at_once() -> None:
    (hashes,) = words_of("x" * 1_000_000 + " y")
    assert len(hashes) == 2


def test_stored_values_never_change() -> None:
    hashes, _ = word_hashes(pl.Series(["a naïve antidisestablishmentarianism"]))
    assert hashes.dtype == np.uint64
    assert hashes.tolist() == GOLDEN


GOLDEN = [12609935244270955673, 18290536952991903958, 17329293632885011368]
