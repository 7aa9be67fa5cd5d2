"""The table of rules: each compares one column of scores with a threshold.

Scores are worked out once (``score.py``); a rule is only a comparison, so that another threshold
costs nothing. Sources of the thresholds, all read from the code of the projects named:

* Gopher: Rae et al. 2021 (arXiv:2112.11446), table A1, as in datatrove.
* C4: Raffel et al. 2020 (arXiv:1910.10683), section 2.2, as in datatrove.
* FineWeb: Penedo et al. 2024 (arXiv:2406.17557), section 3.6, as in datatrove.
* RefinedWeb: Penedo et al. 2023 (arXiv:2306.01116), appendix G.2, as in DCLM.
* Curator: the English default of NVIDIA NeMo Curator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

WordProfile = Literal["whitespace", "fineweb-compat"]
"""What counts as a word: ``words.py``."""

LineEdits = Literal["none", "c4", "c4-terminal", "refinedweb"]
"""Which lines are taken out of the texts: ``line_edits.py``."""

ColumnType = Literal["integer", "number"]

TOP_NGRAMS = (2, 3, 4)
DUPLICATE_NGRAMS = (5, 6, 7, 8, 9, 10)

RULE_COLUMNS: Mapping[str, ColumnType] = {
    "duplicate_paragraph_fraction": "number",
    "duplicate_paragraph_char_fraction": "number",
    "duplicate_line_fraction": "number",
    "duplicate_line_char_fraction": "number",
    **{f"top_{n}_gram_char_fraction": "number" for n in TOP_NGRAMS},
    **{f"duplicate_{n}_gram_char_fraction": "number" for n in DUPLICATE_NGRAMS},
    "words": "integer",
    "mean_word_length": "number",
    "hash_ratio": "number",
    "ellipsis_ratio": "number",
    "bullet_line_fraction": "number",
    "ellipsis_line_fraction": "number",
    "alphabetic_word_fraction": "number",
    "stop_words": "integer",
    "c4_long_word_lines": "integer",
    "c4_unterminated_lines": "integer",
    "c4_short_lines": "integer",
    "c4_javascript_lines": "integer",
    "c4_policy_lines": "integer",
    "c4_lorem_ipsum": "integer",
    "c4_curly_bracket": "integer",
    "c4_sentences": "integer",
    "terminal_line_fraction": "number",
    "short_line_fraction": "number",
    "edited_duplicate_line_char_fraction": "number",
    "newline_word_ratio": "number",
    "refinedweb_removed_word_fraction": "number",
    "symbol_char_fraction": "number",
    "digit_char_fraction": "number",
    "url_char_fraction": "number",
    "whitespace_char_fraction": "number",
    "parenthesis_char_fraction": "number",
    "longest_word": "integer",
}
"""All columns that ``score_rules`` gives, in their order; the counts of C4's lines have no rule."""


@dataclass(frozen=True)
class Rule:
    """One comparison; a document for which it holds is dropped.

    Attributes
    ----------
    name : str
        As it is counted and shown.
    column : str
        The score that is compared; one of :data:`RULE_COLUMNS`.
    fails : {"below", "above"}
        Which side of the threshold is dropped; a score equal to it stays.
    threshold : float
        As published.
    family : str
        One of :data:`FAMILIES`.
    description : str
        What the score is.
    """

    name: str
    column: str
    fails: Literal["below", "above"]
    threshold: float
    family: str
    description: str

    @property
    def is_number(self) -> bool:
        """Whether the score is a floating-point number, not an integer."""
        return RULE_COLUMNS[self.column] == "number"

    def with_threshold(self, threshold: float) -> Rule:
        """The same rule with another threshold."""
        return replace(self, threshold=threshold)


FAMILIES = ("gopher-repetition", "gopher-quality", "c4", "fineweb", "refinedweb", "curator")
"""Families in the order in which their rules are applied, as in FineWeb."""

_REPETITION, _QUALITY, _C4, _FINEWEB, _REFINEDWEB, _CURATOR = FAMILIES

_TOP = zip(TOP_NGRAMS, (0.20, 0.18, 0.16), strict=True)
_DUPLICATE = zip(DUPLICATE_NGRAMS, (0.15, 0.14, 0.13, 0.12, 0.11, 0.10), strict=True)

RULES: tuple[Rule, ...] = (
    Rule(
        "gopher_duplicate_paragraphs",
        "duplicate_paragraph_fraction",
        "above",
        0.30,
        _REPETITION,
        "share of paragraphs that were there before",
    ),
    Rule(
        "gopher_duplicate_paragraph_chars",
        "duplicate_paragraph_char_fraction",
        "above",
        0.20,
        _REPETITION,
        "share of characters in paragraphs that were there before",
    ),
    Rule(
        "gopher_duplicate_lines",
        "duplicate_line_fraction",
        "above",
        0.30,
        _REPETITION,
        "share of lines that were there before",
    ),
    Rule(
        "gopher_duplicate_line_chars",
        "duplicate_line_char_fraction",
        "above",
        0.20,
        _REPETITION,
        "share of characters in lines that were there before",
    ),
    *(
        Rule(
            f"gopher_top_{n}_gram",
            f"top_{n}_gram_char_fraction",
            "above",
            threshold,
            _REPETITION,
            f"share of characters in the most frequent sequence of {n} words",
        )
        for n, threshold in _TOP
    ),
    *(
        Rule(
            f"gopher_duplicate_{n}_grams",
            f"duplicate_{n}_gram_char_fraction",
            "above",
            threshold,
            _REPETITION,
            f"share of characters in sequences of {n} words that were there before",
        )
        for n, threshold in _DUPLICATE
    ),
    Rule("gopher_min_words", "words", "below", 50, _QUALITY, "words that are not only symbols"),
    Rule(
        "gopher_max_words", "words", "above", 100_000, _QUALITY, "words that are not only symbols"
    ),
    Rule(
        "gopher_min_word_length",
        "mean_word_length",
        "below",
        3,
        _QUALITY,
        "mean length of words that are not only symbols, in characters",
    ),
    Rule(
        "gopher_max_word_length",
        "mean_word_length",
        "above",
        10,
        _QUALITY,
        "mean length of words that are not only symbols, in characters",
    ),
    Rule("gopher_hashes", "hash_ratio", "above", 0.1, _QUALITY, "'#' for each word"),
    Rule("gopher_ellipses", "ellipsis_ratio", "above", 0.1, _QUALITY, "ellipses for each word"),
    Rule(
        "gopher_bullet_lines",
        "bullet_line_fraction",
        "above",
        0.9,
        _QUALITY,
        "share of lines that begin with '•' or '-'",
    ),
    Rule(
        "gopher_ellipsis_lines",
        "ellipsis_line_fraction",
        "above",
        0.3,
        _QUALITY,
        "share of lines that end with an ellipsis",
    ),
    Rule(
        "gopher_alphabetic_words",
        "alphabetic_word_fraction",
        "below",
        0.8,
        _QUALITY,
        "share of words with a letter",
    ),
    Rule(
        "gopher_stop_words",
        "stop_words",
        "below",
        2,
        _QUALITY,
        "how many different words of: the, be, to, of, and, that, have, with",
    ),
    Rule("c4_lorem_ipsum", "c4_lorem_ipsum", "above", 0, _C4, "1 if it holds 'lorem ipsum'"),
    Rule("c4_curly_bracket", "c4_curly_bracket", "above", 0, _C4, "1 if it holds '{'"),
    Rule("c4_min_sentences", "c4_sentences", "below", 5, _C4, "sentences in the lines C4 keeps"),
    Rule(
        "fineweb_terminal_lines",
        "terminal_line_fraction",
        "below",
        0.12,
        _FINEWEB,
        "share of lines that end with a full stop or the like",
    ),
    Rule(
        "fineweb_short_lines",
        "short_line_fraction",
        "above",
        0.67,
        _FINEWEB,
        "share of lines of at most 30 characters",
    ),
    Rule(
        "fineweb_duplicate_line_chars",
        "edited_duplicate_line_char_fraction",
        "above",
        0.01,
        _FINEWEB,
        "share of characters in lines that were there before, after the line edits",
    ),
    Rule(
        "fineweb_newlines", "newline_word_ratio", "above", 0.3, _FINEWEB, "newlines for each word"
    ),
    Rule(
        "refinedweb_removed_words",
        "refinedweb_removed_word_fraction",
        "above",
        0.05,
        _REFINEDWEB,
        "share of words in lines that RefinedWeb takes out",
    ),
    Rule(
        "curator_symbols",
        "symbol_char_fraction",
        "above",
        0.25,
        _CURATOR,
        "share of characters that are no letter, mark, digit, newline or one of ?!,.",
    ),
    Rule(
        "curator_digits",
        "digit_char_fraction",
        "above",
        0.15,
        _CURATOR,
        "share of characters that are digits",
    ),
    Rule(
        "curator_urls",
        "url_char_fraction",
        "above",
        0.2,
        _CURATOR,
        "share of characters in URLs",
    ),
    Rule(
        "curator_whitespace",
        "whitespace_char_fraction",
        "above",
        0.25,
        _CURATOR,
        "share of characters that are white space",
    ),
    Rule(
        "curator_parentheses",
        "parenthesis_char_fraction",
        "above",
        0.1,
        _CURATOR,
        "share of characters that are parentheses or brackets",
    ),
    Rule(
        "curator_longest_word",
        "longest_word",
        "above",
        1000,
        _CURATOR,
        "characters of the longest word between white space",
    ),
)
"""All rules in the order in which they are applied; the first that fails is the reason given."""
