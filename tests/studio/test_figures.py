from __future__ import annotations

import pytest

from modelwright.studio import figures


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (272, "4 min 32 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (45, "45 s"), (90, "1:30"), (7500, "2:05:00")]
)
def test_clock(seconds: float, text: str) -> None:
    assert figures.clock(seconds) == text


@pytest.mark.parametrize(
    ("value", "words", "short"),
    [
        (12, "12", "12"),
        (9_999, "9,999", "9.999k"),
        (3_148_032, "3.15 million", "3.148M"),
        (2_500_000_000, "2.5 billion", "2.5B"),
        (0.0025, "0", "0.0025"),
    ],
)
def test_counts(value: float, words: str, short: str) -> None:
    assert figures.count(value) == words
    assert figures.short_count(value) == short


def test_sizes_are_decimal_and_exact_numbers_keep_their_digits() -> None:
    assert [figures.size(value) for value in (999, 1_000, 9_806_112)] == [
        "999 bytes",
        "1 kB",
        "9.81 MB",
    ]
    assert [figures.exact(value) for value in (9_806_112, 2.0, 0.8125, 3.52714, 61_000.5)] == [
        "9,806,112",
        "2",
        "0.8125",
        "3.527",
        "61,000",
    ]
    assert figures.percent(0.8351) == "83.5 %"
