"""Scores worked out by hand."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from modelwright.data.rules.score import score_rules
from modelwright.data.rules.table import RULE_COLUMNS


def scores(text: str, words: Any = "whitespace", edits: Any = "none") -> dict[str, Any]:
    return score_rules(pl.Series([text]), words, edits).scores.row(0, named=True)


def edited(text: str, edits: Any) -> str:
    return str(score_rules(pl.Series([text]), "whitespace", edits).texts[0])


def test_no_texts_give_no_rows() -> None:
    found = score_rules(pl.Series("text", [], dtype=pl.String), "fineweb-compat", "c4")
    assert found.scores.shape == (0, len(RULE_COLUMNS))
    assert len(found.texts) == 0


def test_an_empty_text_has_zeros_everywhere() -> None:
    row = scores("", "fineweb-compat", "c4")
    assert {name for name, value in row.items() if value} == set()


def test_types_are_those_of_the_table() -> None:
    found = score_rules(pl.Series(["a b c"]), "whitespace", "none").scores
    types = {"integer": pl.Int64(), "number": pl.Float64()}
    assert dict(found.schema) == {name: types[kind] for name, kind in RULE_COLUMNS.items()}


def test_duplicate_paragraphs_and_lines() -> None:
    row = scores("ab\ncd\n\nab\ncd\n\n\nxyz")  # 18 characters
    assert row["duplicate_paragraph_fraction"] == pytest.approx(1 / 3)
    assert row["duplicate_paragraph_char_fraction"] == pytest.approx(5 / 18)
    assert row["duplicate_line_fraction"] == pytest.approx(2 / 5)
    assert row["duplicate_line_char_fraction"] == pytest.approx(4 / 18)


def test_top_ngram_is_its_length_times_its_count() -> None:
    text = "a bc a bc a bc d"  # 16 characters; "a bc" three times
    row = scores(text)
    assert row["top_2_gram_char_fraction"] == pytest.approx(3 * 4 / 16)
    assert row["top_3_gram_char_fraction"] == pytest.approx(2 * 6 / 16)
    assert scores("one two three")["top_2_gram_char_fraction"] == pytest.approx(7 / 13)
    assert scores("one")["top_2_gram_char_fraction"] == 0


def test_the_first_of_equally_frequent_ngrams_counts() -> None:
    assert scores("a b x a b long words y long words")["top_2_gram_char_fraction"] == 2 * 3 / 33


def test_duplicate_ngrams_are_found_from_left_to_right_without_overlap() -> None:
    # 11 times the same word: the 5-gram at 0 is new, those at 1 and 6 are found and skipped.
    row = scores(" ".join(["ab"] * 11))
    assert row["duplicate_5_gram_char_fraction"] == pytest.approx(20 / 32)
    assert row["duplicate_10_gram_char_fraction"] == pytest.approx(20 / 32)
    assert scores(" ".join(["ab"] * 5))["duplicate_5_gram_char_fraction"] == 0


def test_word_counts_depend_on_what_a_word_is() -> None:
    text = "The dog, he said, isn't here."
    plain, compat = scores(text), scores(text, "fineweb-compat")
    assert (plain["words"], compat["words"]) == (6, 7)  # "is" and "n't"; marks are symbols
    assert plain["alphabetic_word_fraction"] == 1
    assert compat["alphabetic_word_fraction"] == pytest.approx(7 / 10)
    assert plain["mean_word_length"] == pytest.approx(24 / 6)
    assert compat["mean_word_length"] == pytest.approx(21 / 7)


def test_stop_words_are_distinct_and_in_lower_case() -> None:
    assert scores("the the the The TO of")["stop_words"] == 2


def test_symbols_for_each_word() -> None:
    row = scores("# one #two three... four… ....")
    assert row["hash_ratio"] == pytest.approx(2 / 6)
    assert row["ellipsis_ratio"] == pytest.approx(3 / 6)


def test_bullets_and_ellipses_of_lines() -> None:
    row = scores("• a\r\n  - b\n-c...\nd… \n\n")
    assert row["bullet_line_fraction"] == pytest.approx(3 / 5)
    assert row["ellipsis_line_fraction"] == pytest.approx(2 / 5)


C4_TEXT = "\n".join(
    [
        "  A good line with words.  ",
        "Two words",
        "Please enable JavaScript now.",
        "This site uses cookies for you.",
        "A fact.[12] Known [edit] since long[citation needed]! Yes",
        "one two " + "x" * 1001,
        "He said so...",
    ]
)


def test_c4_counts_lines_and_sentences() -> None:
    row = scores(C4_TEXT)
    assert row["c4_long_word_lines"] == 1
    assert row["c4_short_lines"] == 1
    assert row["c4_javascript_lines"] == 1
    assert row["c4_policy_lines"] == 1
    assert row["c4_unterminated_lines"] == 3
    assert row["c4_sentences"] == 1 + 3 + 1
    assert row["c4_lorem_ipsum"] == row["c4_curly_bracket"] == 0


def test_c4_edits_lines() -> None:
    cited = "A fact. Known  since long! Yes"
    assert edited(C4_TEXT, "none") == C4_TEXT
    assert edited(C4_TEXT, "c4") == f"A good line with words.\n{cited}\nHe said so..."
    assert edited(C4_TEXT, "c4-terminal") == "A good line with words."
    assert scores(C4_TEXT, edits="c4-terminal")["c4_sentences"] == 1


def test_c4_edits_keep_paragraphs_apart_and_are_scored_as_if_not() -> None:
    text = "A first line here.\n\nTwo words\n\nAnother good line.\nAnd one more."
    assert edited(text, "c4") == "A first line here.\n\nAnother good line.\nAnd one more."
    assert scores(text, edits="c4")["newline_word_ratio"] == pytest.approx(2 / 10)


def test_c4_drops_texts_for_a_bracket_or_filler_in_a_line_it_keeps() -> None:
    assert scores("a { b c")["c4_curly_bracket"] == 1
    assert scores("a {")["c4_curly_bracket"] == 0
    assert scores("javascript has a {")["c4_curly_bracket"] == 0
    assert scores("Lorem Ipsum dolor\nLorem ipsum sit")["c4_lorem_ipsum"] == 1


def test_fineweb_scores_are_of_the_edited_text() -> None:
    line = "A line that has an end."
    text = f"Two words\n{line}\n\n{line}\nNo end of this line here at all"
    row = scores(text)  # 91 characters, 4 of them newlines, 22 words
    assert row["terminal_line_fraction"] == pytest.approx(2 / 4)
    assert row["short_line_fraction"] == pytest.approx(3 / 4)
    assert row["edited_duplicate_line_char_fraction"] == pytest.approx(23 / 86)
    assert row["newline_word_ratio"] == pytest.approx(4 / 22)
    row = scores(text, edits="c4")
    assert row["terminal_line_fraction"] == pytest.approx(2 / 3)
    assert row["newline_word_ratio"] == pytest.approx(2 / 20)


def test_words_of_lines_that_an_edit_changed_are_counted_anew() -> None:
    text = "One two [1] three.\nFour five six."
    assert scores(text, edits="c4")["newline_word_ratio"] == pytest.approx(1 / 6)
    assert scores(text)["newline_word_ratio"] == pytest.approx(1 / 7)


def test_refinedweb_corrects_lines() -> None:
    text = "\n".join(
        [
            *("BIG SALE now", "2024", "3 likes", "word", "", "", "", "Sign-in to read"),
            *("Items in cart", "  indented line stays", "a story Read more..."),
        ]
    )
    assert edited(text, "refinedweb") == "to read\n  indented line stays\na story"
    row = scores(text)
    assert row["refinedweb_removed_word_fraction"] == pytest.approx(13 / 20)


def test_curator_shares() -> None:
    row = scores("(a1) https://a.b/c [x]")  # 22 characters
    assert row["parenthesis_char_fraction"] == pytest.approx(4 / 22)
    assert row["digit_char_fraction"] == pytest.approx(1 / 22)
    assert row["url_char_fraction"] == pytest.approx(11 / 22)
    assert row["whitespace_char_fraction"] == pytest.approx(2 / 22)
    assert row["symbol_char_fraction"] == pytest.approx(10 / 22)
    assert row["longest_word"] == 13


def test_a_hostile_text_is_scored() -> None:
    for text in ("(" * 200_000, "ab " * 50_000, "\n" * 200_000, "x" * 500_000):
        row = scores(text, "fineweb-compat", "c4")
        assert 0 <= row["duplicate_line_fraction"] <= 1
