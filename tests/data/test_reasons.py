from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import InputError, UsageError
from modelwright.data.parquet import Columns
from modelwright.data.personal_data.kinds import COLUMNS as COUNTED
from modelwright.data.preparation.reasons import (
    CONTAMINATED,
    OptOut,
    Reasons,
    columns_of,
    read_opt_out,
)
from modelwright.data.rules.table import RULE_COLUMNS, RULES
from modelwright.data.settings import PrepareSettings

GOOD: dict[str, Any] = {
    "id": "00000000000000aa",
    "url": "https://example.org/page",
    "licence": "MIT",
    "replaced": 0,
    "characters": 500,
    "language": "en",
    "language_score": 0.9,
    "quality": 0.9,
    CONTAMINATED: 0,
    **dict.fromkeys(COUNTED.values(), 0),
    **{rule.column: rule.threshold for rule in RULES},
    "words": 60,
}
AVAILABLE = frozenset({*GOOD, *RULE_COLUMNS})
NOTHING = OptOut()


def reasons(opt_out: OptOut = NOTHING, **settings: Any) -> Reasons:
    return Reasons(PrepareSettings(**settings), AVAILABLE, opt_out)


def reason_for(decided_by: Reasons, **values: Any) -> str | None:
    """Why a document with these scores is dropped, the others being good."""
    (reason,) = decided_by.of(pl.DataFrame([{**GOOD, **values}], strict=False))
    return reason


@pytest.mark.parametrize(
    ("settings", "bad", "edge", "expected"),
    [
        ({}, {"characters": 31}, {"characters": 32}, "shorter than 32 characters"),
        (
            {"max_characters": 600},
            {"characters": 601},
            {"characters": 600},
            "longer than 600 characters",
        ),
        ({}, {"replaced": 6}, {"replaced": 5}, "more than 1.00% unreadable characters"),
        ({"languages": ["en"]}, {"language": "de"}, {}, "another language"),
        (
            {"languages": ["en"]},
            {"language_score": 0.4},
            {"language_score": 0.5},
            "language uncertain",
        ),
        ({"rules": ["gopher-quality"]}, {"words": 49}, {"words": 50}, "gopher_min_words"),
        (
            {"rules": ["fineweb"]},
            {"short_line_fraction": 0.68},
            {"short_line_fraction": 0.67},
            "fineweb_short_lines",
        ),
        (
            {"thresholds": {"curator_digits": 0.5}},
            {"digit_char_fraction": 0.6},
            {"digit_char_fraction": 0.5},
            "curator_digits",
        ),
        ({"min_quality": 0.5}, {"quality": 0.4}, {"quality": 0.5}, "low quality"),
        ({}, {CONTAMINATED: 1}, {CONTAMINATED: 0}, "overlaps an evaluation set"),
        ({"personal_data": "drop"}, {"personal_email": 1}, {}, "personal data"),
        ({"secrets": "drop"}, {"secret_jwt": 1}, {"personal_email": 9}, "secrets"),
        (
            {"licences_deny": ["GPL-*"]},
            {"licence": "GPL-3.0-only"},
            {},
            "licence denied by the policy",
        ),
        (
            {"licences_allow": ["MIT"]},
            {"licence": "Apache-2.0"},
            {},
            "licence not among the allowed",
        ),
        (
            {"licences_strict": True},
            {"licence": "LicenseRef-unknown"},
            {},
            "licence unknown",
        ),
    ],
)
def test_each_reason_begins_just_past_its_limit(settings, bad, edge, expected):
    decided_by = reasons(**settings)
    assert reason_for(decided_by, **bad) == expected
    assert reason_for(decided_by, **edge) is None
    if "replaced" not in bad and "characters" not in bad and CONTAMINATED not in bad:
        assert reason_for(reasons(), **bad) is None  # nobody asked for it


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_drops_on_its_side_only(rule):
    alone = reasons(thresholds={rule.name: rule.threshold})
    worse = rule.threshold + (1 if rule.fails == "above" else -1)
    better = rule.threshold + (-1 if rule.fails == "above" else 1)
    assert reason_for(alone, **{rule.column: worse}) == rule.name
    assert reason_for(alone, **{rule.column: better}) is None
    assert reason_for(alone, **{rule.column: rule.threshold}) is None


def test_the_first_reason_counts_and_the_opt_out_list_is_before_all():
    bad = {"characters": 1, "licence": "GPL-3.0-only", "replaced": 1}
    settings = {"licences_deny": ["GPL-*"]}
    assert reason_for(reasons(**settings), **bad) == "licence denied by the policy"
    assert reason_for(reasons(), **bad) == "shorter than 32 characters"
    out = OptOut(ids=frozenset({GOOD["id"]}))
    assert reason_for(reasons(out, **settings), **bad) == "on the opt-out list"


def test_a_score_that_is_not_known_drops_nothing():
    decided_by = reasons(rules=["gopher-quality"], languages=["en"], min_quality=0.5)
    unknown = dict.fromkeys(("words", "language", "language_score", "quality"))
    assert reason_for(decided_by, **unknown) is None


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"rules": ["c4"]}, "c4_lorem_ipsum"),
        ({"languages": ["en"]}, "language"),
        ({"min_quality": 0.5}, "quality"),
        ({}, columns_of("personal")[0]),
        ({"personal_data": "keep"}, columns_of("secret")[0]),
    ],
)
def test_a_score_that_was_not_worked_out_is_refused_by_name(settings, missing):
    with pytest.raises(UsageError, match=f"the corpus has no scores '{missing}'"):
        Reasons(PrepareSettings(**settings), frozenset({"characters"}), NOTHING)
    kept = PrepareSettings(personal_data="keep", secrets="keep")
    assert Reasons(kept, frozenset({"characters"}), NOTHING).columns.keys() == {"characters"}


def test_only_what_is_compared_is_read():
    chosen: Columns = reasons(rules=["fineweb"], languages=["en"], secrets="keep").columns
    assert {"short_line_fraction", "language", "characters"} <= chosen.keys()
    assert chosen["language"] == "text"
    assert not {"quality", "secret_jwt", "digit_char_fraction"} & chosen.keys()


def listed(folder: Path, *lines: str) -> Reasons:
    (folder / "list").write_text("\n".join(lines), encoding="utf-8")
    return reasons(read_opt_out(folder / "list"))


@pytest.mark.parametrize(
    ("line", "url", "is_out"),
    [
        ("https://example.org/page", "https://example.org/page", True),
        ("https://example.org/page", "https://example.org/page/2", False),
        ("https://example.org/page", "https://exampleXorg/page", False),
        ("https://example.org/*", "https://example.org/a/b?c=d", True),
        ("*://*.example.org/*", "http://www.example.org/x", True),
        ("*://*.example.org/*", "http://example.org/x", False),
        ("*.org/a*b*c", "https://x.org/aXbYc", True),
        ("https://a.org/?", "https://a.org/é", True),
        ("https://a.org/?", "https://a.org/", False),
        ("https://a.org/(x|y)[z]+*", "https://a.org/(x|y)[z]+1", True),
        ("https://a.org/[xyz]*", "https://a.org/x1", False),
        ("a.txt", "b/a.txt", False),
        ("*a.txt", "b\n/a.txt", True),
    ],
)
def test_patterns_of_urls(tmp_path, line, url, is_out):
    found = reason_for(listed(tmp_path, line), url=url)
    assert found == ("on the opt-out list" if is_out else None)


@given(st.text(st.characters(codec="utf-8", exclude_characters="*?\ufeff"), min_size=1))
def test_a_url_without_marks_means_itself_and_so_does_its_pattern(tmp_path_factory, text):
    lines = text.splitlines()
    if len(lines) != 1 or text != text.strip() or text.startswith("#"):
        return
    folder = tmp_path_factory.mktemp("list")
    assert reason_for(listed(folder, text), url=text)
    assert reason_for(listed(folder, f"{text}*"), url=f"{text}and more")
    before = "y" if text[0] == "x" else "x"
    assert not reason_for(listed(folder, f"{text}*"), url=f"{before}{text}")


def test_ids_comments_and_blank_lines(tmp_path):
    decided_by = listed(tmp_path, "# 00000000000000bb", "", f"  {GOOD['id']}  ", "other")
    assert reason_for(decided_by) == "on the opt-out list"
    assert reason_for(decided_by, id="00000000000000bb") is None


def test_a_byte_order_mark_hides_no_entry(tmp_path):
    (tmp_path / "list").write_text(GOOD["id"], encoding="utf-8-sig")
    assert reason_for(reasons(read_opt_out(tmp_path / "list"))) == "on the opt-out list"


def test_a_long_list_is_no_burden(tmp_path):
    addresses = [f"https://site{number}.example.org/some/path" for number in range(20_000)]
    patterns = [f"https://host{number}.example.org/*" for number in range(3_000)]
    decided_by = listed(tmp_path, *addresses, *patterns)
    assert reason_for(decided_by, url=addresses[-1])
    assert reason_for(decided_by, url="https://host2999.example.org/page")
    assert reason_for(decided_by, url="https://host3000.example.org/page") is None


def test_a_list_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "list").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot read the opt-out list"):
        read_opt_out(tmp_path / "list")
    with pytest.raises(InputError, match="cannot read the opt-out list"):
        read_opt_out(tmp_path / "none")
