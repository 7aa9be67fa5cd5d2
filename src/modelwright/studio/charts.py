"""Charts as inline SVG: lines over tokens or time. No script, no network, no library."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from modelwright.studio.figures import clock, short_count

WIDTH, HEIGHT = 440, 230
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 12, 40
MOST_POINTS = 300
"""More points than this cannot be told apart in a chart; means of neighbours are drawn instead."""

TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 86400)

FLAT = 1e-12
"""Values that are closer together than this are drawn as one."""

Point = tuple[float, float]

Look = Literal[
    "bold", "faint", "dots",
    "series-0", "series-1", "series-2", "series-3", "series-4", "series-5", "series-6", "series-7",
]  # fmt: skip

SERIES: tuple[Look, ...] = (
    "series-0", "series-1", "series-2", "series-3", "series-4", "series-5", "series-6", "series-7",
)  # fmt: skip
"""Looks of lines that are alike and told apart by their colour."""


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes
    ----------
    name : str
        For the legend.
    points : sequence of (x, y)
        By rising x; those that are not finite are left out.
    look : str
        ``bold``, ``faint``, or ``dots`` for few points that deserve to be seen one by one; one of
        ``SERIES`` where several lines are alike.
    """

    name: str
    points: Sequence[Point]
    look: Look = "bold"


@dataclass(frozen=True)
class Axis:
    """An axis: its label, and how its numbers are written.

    Attributes
    ----------
    label : str
        With the unit.
    write : callable
        Number to text.
    is_time : bool
        Whether ticks stand at round times instead of round numbers.
    has_zero : bool
        Whether the axis starts at zero, so that changes are seen in proportion.
    """

    label: str
    write: Callable[[float], str] = short_count
    is_time: bool = False
    has_zero: bool = False


TOKENS = Axis("tokens seen", has_zero=True)
TIME = Axis("training time", clock, is_time=True, has_zero=True)


@dataclass(frozen=True)
class _Scale:
    """Maps a value to a coordinate."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def line_chart(
    title: str, x: Axis, y: Axis, lines: Sequence[Line], reads_all: bool = False
) -> Markup:
    """Draw lines in a ``<figure>`` with a legend; empty if there is nothing to draw.

    Parameters
    ----------
    title : str
        Read out by screen readers and shown above.
    x, y : Axis
        What the axes are.
    lines : sequence of Line
        The last one is the one that a pointer reads values from.
    reads_all : bool
        Whether a pointer reads from all of them instead, and says which.
    """
    lines = [Line(line.name, thin(_finite(line.points)), line.look) for line in lines]
    lines = [line for line in lines if line.points]
    if not lines:
        return Markup("")
    x_range = _range([px for line in lines for px, _ in line.points], x)
    y_range = _range([py for line in lines for _, py in line.points], y)
    x_ticks = time_ticks(*x_range) if x.is_time else ticks(*x_range)
    y_ticks = ticks(*y_range)
    across = _Scale(*x_range, LEFT, WIDTH - RIGHT)
    down = _Scale(*y_range, HEIGHT - BOTTOM, TOP)
    drawn = Markup("").join(_draw(line, across, down) for line in lines)
    read, several = lines[-1], reads_all and len(lines) > 1
    hover = [
        [
            round(across(px), 1),
            round(down(py), 1),
            f"{line.name}, {x.write(px)}: {py:.4g}" if several else f"{x.write(px)}: {py:.4g}",
        ]
        for line in (lines if several else [read])
        for px, py in line.points
    ]
    return Markup(
        '<figure class="chart"><figcaption>{title}{legend}</figcaption>'
        '<svg viewBox="0 0 {width} {height}" role="img" data-hover="{hover}"{how}>'
        "<title>{title}</title><desc>{description}</desc>{axes}{drawn}</svg></figure>"
    ).format(
        title=title,
        legend=_legend(lines),
        width=WIDTH,
        height=HEIGHT,
        how=Markup(' data-several=""') if several else "",
        hover=json.dumps(hover, separators=(",", ":")),
        description=_describe(read, x, y),
        axes=_axes(x, y, across, down, x_ticks, y_ticks),
        drawn=drawn,
    )


def smooth(points: Sequence[Point]) -> list[Point]:
    """Mean of each value and its neighbours on both sides, a twentieth of all points in sum."""
    points = _finite(points)
    reach = len(points) // 40
    smoothed = []
    for index, (x, _) in enumerate(points):
        near = min(reach, index, len(points) - 1 - index)
        part = points[index - near : index + near + 1]
        smoothed.append((x, sum(value for _, value in part) / len(part)))
    return smoothed


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most ``most`` points: means of equally many neighbours each; the last point stays."""
    if len(points) <= most:
        return list(points)
    group = math.ceil(len(points) / (most - 1))
    means = []
    for start in range(0, len(points), group):
        part = points[start : start + group]
        means.append((sum(p[0] for p in part) / len(part), sum(p[1] for p in part) / len(part)))
    return [*means, points[-1]]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) from ``low`` to ``high``."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    return _multiples(low, high, step)


def time_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round times in seconds from ``low`` to ``high``."""
    raw = (high - low) / about
    if raw < TIME_STEPS[0] or raw > TIME_STEPS[-1]:
        return ticks(low, high, about)
    return _multiples(low, high, next(step for step in TIME_STEPS if step >= raw))


def _multiples(low: float, high: float, step: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _finite(points: Sequence[Point]) -> list[Point]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _range(values: Sequence[float], axis: Axis) -> tuple[float, float]:
    """Lowest and highest value with a little air, a little apart even if they are one."""
    low, high = min(values), max(values)
    is_flat = high - low <= max(FLAT, 1e-9 * max(abs(low), abs(high)))
    if axis.has_zero and low >= 0:
        return 0.0, 1.02 * high if high > FLAT else 1.0
    margin = (0.05 * abs(high) or 1.0) if is_flat else 0.06 * (high - low)
    return low - max(margin, FLAT), high + max(margin, FLAT)


def _draw(line: Line, across: _Scale, down: _Scale) -> Markup:
    path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in line.points)
    drawn = Markup('<polyline class="line {look}" points="{path}"/>').format(
        look=line.look, path=path
    )
    if line.look == "dots" or len(line.points) == 1:
        for x, y in line.points:
            drawn += Markup('<circle class="{look}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>').format(
                look=line.look, x=across(x), y=down(y)
            )
    return drawn


def _axes(
    x: Axis,
    y: Axis,
    across: _Scale,
    down: _Scale,
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
) -> Markup:
    floor = HEIGHT - BOTTOM
    parts = [
        Markup('<line class="grid" x1="{x1}" x2="{x2}" y1="{at:.1f}" y2="{at:.1f}"/>').format(
            x1=LEFT, x2=WIDTH - RIGHT, at=down(value)
        )
        + Markup('<text x="{x}" y="{at:.1f}" text-anchor="end">{text}</text>').format(
            x=LEFT - 6, at=down(value) + 4, text=y.write(value)
        )
        for value in y_ticks
    ]
    parts += [
        Markup('<text x="{at:.1f}" y="{y}" text-anchor="middle">{text}</text>').format(
            at=across(value), y=floor + 16, text=x.write(value)
        )
        for value in x_ticks
    ]
    parts.append(
        Markup(
            '<line class="axis" x1="{x1}" x2="{x2}" y1="{y}" y2="{y}"/>'
            '<text class="label" x="{x2}" y="{label_y}" text-anchor="end">{x_label}</text>'
        ).format(x1=LEFT, x2=WIDTH - RIGHT, y=floor, label_y=HEIGHT - 6, x_label=x.label)
    )
    return Markup("").join(parts)


def _legend(lines: Sequence[Line]) -> Markup:
    if len(lines) < 2:
        return Markup("")
    return Markup("").join(
        Markup('<span class="key {look}">{name}</span>').format(look=line.look, name=line.name)
        for line in lines
    )


def _describe(line: Line, x: Axis, y: Axis) -> str:
    (first_x, first_y), (last_x, last_y) = line.points[0], line.points[-1]
    return (
        f"{y.label} by {x.label}: from {first_y:.4g} at {x.write(first_x)} "
        f"to {last_y:.4g} at {x.write(last_x)}"
    )
