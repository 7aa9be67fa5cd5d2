from __future__ import annotations

import subprocess
import sys

import pytest

from modelwright.data.rules.table import FAMILIES, RULE_COLUMNS, RULES


def test_every_rule_compares_a_column_that_exists() -> None:
    assert {rule.column for rule in RULES} <= RULE_COLUMNS.keys()
    unused = RULE_COLUMNS.keys() - {rule.column for rule in RULES}
    assert all(name.startswith("c4_") and name.endswith("_lines") for name in unused)


def test_names_are_unique_and_families_in_order() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    places = [FAMILIES.index(rule.family) for rule in RULES]
    assert places == sorted(places)
    assert set(places) == set(range(len(FAMILIES)))


@pytest.mark.parametrize(
    ("name", "fails", "threshold"),
    [
        ("gopher_duplicate_lines", "above", 0.30),
        ("gopher_duplicate_line_chars", "above", 0.20),
        ("gopher_top_2_gram", "above", 0.20),
        ("gopher_top_4_gram", "above", 0.16),
        ("gopher_duplicate_5_grams", "above", 0.15),
        ("gopher_duplicate_10_grams", "above", 0.10),
        ("gopher_min_words", "below", 50),
        ("gopher_max_words", "above", 100_000),
        ("gopher_min_word_length", "below", 3),
        ("gopher_max_word_length", "above", 10),
        ("gopher_alphabetic_words", "below", 0.8),
        ("gopher_stop_words", "below", 2),
        ("c4_min_sentences", "below", 5),
        ("fineweb_terminal_lines", "below", 0.12),
        ("fineweb_short_lines", "above", 0.67),
        ("fineweb_duplicate_line_chars", "above", 0.01),
        ("fineweb_newlines", "above", 0.3),
        ("refinedweb_removed_words", "above", 0.05),
        ("curator_symbols", "above", 0.25),
    ],
)
def test_published_thresholds(name: str, fails: str, threshold: float) -> None:
    (rule,) = [rule for rule in RULES if rule.name == name]
    assert (rule.fails, rule.threshold) == (fails, threshold)


def test_a_rule_with_another_threshold() -> None:
    rule = RULES[0].with_threshold(0.5)
    assert rule.threshold == 0.5
    assert rule.name == RULES[0].name
    assert RULES[0].threshold == 0.30
    assert rule.is_number
    assert not next(rule for rule in RULES if rule.column == "words").is_number


def test_the_table_loads_nothing_heavy() -> None:
    code = "import sys, modelwright.data.rules.table; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "polars", "pyarrow"} & set(run.stdout.split())
