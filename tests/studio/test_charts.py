from __future__ import annotations

import json
import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.studio.charts import (
    HEIGHT,
    TIME,
    TOKENS,
    WIDTH,
    Axis,
    Line,
    line_chart,
    smooth,
    thin,
    ticks,
    time_ticks,
)

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)
POINTS = st.lists(st.tuples(st.floats(0, 1e9), NUMBERS), max_size=30)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="￾￿"))


def coordinates(svg: ElementTree.Element) -> list[tuple[float, float]]:
    pairs = []
    for line in svg.iter("polyline"):
        pairs += [pair.split(",") for pair in line.attrib["points"].split()]
    return [(float(x), float(y)) for x, y in pairs]


@settings(deadline=None)
@given(TEXTS, TEXTS, POINTS, st.sampled_from([TOKENS, TIME, Axis('a <b> & "c"')]))
def test_any_chart_is_well_formed_and_inside_its_box(
    title: str, name: str, points: list[tuple[float, float]], axis: Axis
) -> None:
    points = sorted(points, key=lambda point: point[0])
    drawn = line_chart(title, axis, Axis("y"), [Line(name, points), Line("other", points)])
    if not any(math.isfinite(y) for _, y in points):
        assert drawn == ""
        return
    figure = ElementTree.fromstring(str(drawn))
    svg = figure.find("svg")
    assert svg is not None
    assert svg.findtext("title") == title
    assert any(name == (key.text or "") for key in figure.iter("span"))
    for x, y in coordinates(svg):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    assert len(json.loads(svg.attrib["data-hover"])) > 0


def test_lower_values_are_drawn_lower_and_later_ones_further_right() -> None:
    drawn = line_chart("t", TOKENS, Axis("loss"), [Line("l", [(0, 4.0), (10, 2.0), (20, 3.0)])])
    (x0, y0), (x1, y1), (x2, y2) = coordinates(ElementTree.fromstring(str(drawn)))
    assert x0 < x1 < x2
    assert y0 < y2 < y1


def test_markup_in_names_is_escaped() -> None:
    evil = '"><script>alert(1)</script>'
    drawn = line_chart(evil, Axis(evil), Axis(evil), [Line(evil, [(1, 1)]), Line(evil, [(2, 2)])])
    assert "<script" not in drawn


def test_an_axis_from_zero_shows_changes_in_proportion() -> None:
    speed = [Line("s", [(0, 100.0), (1, 110.0)])]
    drawn = str(line_chart("t", TIME, Axis("y", has_zero=True), speed))
    assert re.search(r">0</text>", drawn)
    assert not re.search(r">0</text>", str(line_chart("t", TIME, Axis("y"), speed)))


def test_a_single_point_is_seen() -> None:
    assert "<circle" in line_chart("t", TOKENS, Axis("y"), [Line("l", [(5, 5)])])


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_few_and_inside(low: float, width: float) -> None:
    high = low + width
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 7
    assert all(low - width * 1e-3 <= mark <= high + width * 1e-3 for mark in marks)
    step = marks[1] - marks[0]
    leading = step / 10.0 ** math.floor(math.log10(step * 1.0000001))
    assert min(abs(leading - round_step) for round_step in (1, 2, 2.5, 5, 10)) < 1e-2


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(180, [0, 60, 120, 180]), (45, [0, 10, 20, 30, 40]), (2.0, [0, 0.5, 1, 1.5, 2])],
)
def test_time_ticks_stand_at_round_times(seconds: float, expected: list[float]) -> None:
    assert time_ticks(0, seconds) == expected


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6)), max_size=2000))
def test_thinning_keeps_the_mean_and_the_end(points: list[tuple[float, float]]) -> None:
    thinned = thin(points, most=50)
    assert len(thinned) <= 50
    if len(points) <= 50:
        assert thinned == points
    else:
        assert thinned[-1] == points[-1]
        low, high = min(y for _, y in points), max(y for _, y in points)
        assert all(low - 1e-3 <= y <= high + 1e-3 for _, y in thinned)


def test_smoothing_keeps_a_straight_line_and_damps_noise() -> None:
    straight = [(float(x), 2.0 * x) for x in range(200)]
    smoothed = smooth(straight)
    assert [x for x, _ in smoothed] == [x for x, _ in straight]
    assert [y for _, y in smoothed] == pytest.approx([y for _, y in straight])
    noise = [(float(x), float(x % 2)) for x in range(200)]
    middle = [y for _, y in smooth(noise)][20:-20]
    assert max(middle) - min(middle) < 0.2
