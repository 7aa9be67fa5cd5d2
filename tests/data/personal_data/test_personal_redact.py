from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import UsageError
from modelwright.data.personal_data.detect import DETECTORS, count_personal_data, find
from modelwright.data.personal_data.kinds import COLUMNS, KINDS, PLACEHOLDERS
from modelwright.data.personal_data.redact import Redacted, redact

VALUES = [
    "jo@site.org", "me (at) site.org", "+44 20 8366 1177", "905-674-3793", "0494 92 82 32",
    "4111 1111 1111 1111", "GB29NWBK60161331926819", "514-69-0360", "106.31.73.20",
    "2606:4700:4700::1111", "3c:22:fb:9a:01:ef", "2450 Crown St", "P.O. Box 12",
    "born on 6/24/1991",
    "call 450 0840", "http://jo:s3cretZ9@h.org", 'password = "kX9#mQ2vL8pz"', "ssn 514690360",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "passport C01234567", "<EMAIL>",
    "-----BEGIN PRIVATE KEY-----\n" + "Ab1/" * 16 + "\n", "driver's license F162823540116",
]  # fmt: skip
GLUE = [
    "",
    " ",
    "\n",
    ", ",
    "-",
    ".",
    "1",
    "a",
    "é",
    "\u0301",
    "@",
    "://",
    "(",
    "phone ",
    "<",
    ">",
    '"',
]
PIECES = st.sampled_from(VALUES) | st.sampled_from(GLUE) | st.text(max_size=6)
TEXTS = st.lists(PIECES, max_size=9).map("".join)
ANY_PLACEHOLDER = re.compile("|".join(PLACEHOLDERS.values()))


def test_typed_placeholders_and_counts() -> None:
    text = "Jo (jo@site.org, ann@site.org) pays with 4111 1111 1111 1111."
    assert redact(text) == Redacted(
        "Jo (<EMAIL>, <EMAIL>) pays with <CREDIT_CARD>.", {"credit_card": 1, "email": 2}
    )


def test_only_the_kinds_that_were_asked_for() -> None:
    assert redact("jo@site.org 905-674-3793", ["phone"]).text == "jo@site.org <PHONE>"


def test_the_words_around_a_value_stay() -> None:
    assert redact("ftp://jo:s3cretZ9@h.org/x").text == "ftp://<URL_PASSWORD>@h.org/x"
    assert redact("DOB: 1985-03-12.").text == "DOB: <DATE_OF_BIRTH>."


@given(TEXTS)
def test_nothing_is_left_and_twice_is_once(text: str) -> None:
    once = redact(text)
    assert find(once.text) == []
    assert redact(once.text) == Redacted(once.text, {})


@given(TEXTS)
def test_what_is_not_replaced_is_untouched_and_in_order(text: str) -> None:
    """Some text stands for each placeholder, so the result is a pattern of the original."""
    redacted = redact(text).text
    kept = [re.escape(piece) for piece in ANY_PLACEHOLDER.split(redacted)]
    assert re.fullmatch("(?s:.+?)".join(kept), text)


@given(st.lists(TEXTS, max_size=4))
def test_counts_of_a_batch_are_those_of_its_texts(texts: list[str]) -> None:
    """So the gates that Polars tries let every text with a match pass."""
    counts = count_personal_data(pl.Series(texts, dtype=pl.String))
    assert counts.height == len(texts)
    for text, row in zip(texts, counts.iter_rows(named=True), strict=True):
        matches = find(text)
        assert row == {
            COLUMNS[kind.name]: sum(match.kind == kind.name for match in matches) for kind in KINDS
        }


@given(TEXTS)
def test_gates_let_every_match_of_their_detector_pass(text: str) -> None:
    for detector in DETECTORS:
        if list(detector.spans(text)):
            assert pl.Series([text]).str.contains(detector.gate)[0], detector.kind


def test_columns_of_chosen_kinds_in_the_order_of_the_table() -> None:
    counts = count_personal_data(pl.Series(["jo@site.org", "none"]), {"email", "iban"})
    assert counts.to_dict(as_series=False) == {"personal_iban": [0, 0], "personal_email": [1, 0]}
    assert counts.dtypes == [pl.UInt32, pl.UInt32]


def test_no_texts_give_no_rows_but_all_columns() -> None:
    counts = count_personal_data(pl.Series([], dtype=pl.String))
    assert counts.columns == list(COLUMNS.values())
    assert counts.height == 0


def test_counting_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="no kind of personal data named 'nose'"):
        count_personal_data(pl.Series(["a"]), ["nose"])
