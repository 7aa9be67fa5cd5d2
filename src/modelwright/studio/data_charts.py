"""Histograms of scores as inline SVG, with the line of the threshold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from markupsafe import Markup

from modelwright.data.survey.histograms import Bins, Histogram
from modelwright.studio.charts import ticks
from modelwright.studio.figures import exact, short_count

WIDTH, HEIGHT = 400, 150
LEFT, RIGHT, TOP, BOTTOM = 38, 12, 16, 22
FLOOR = HEIGHT - BOTTOM
FEWEST_BINS = 8


def histogram(counts: Histogram, title: str, threshold: float | None = None) -> Markup:
    """Draw how many documents have which score; the number of documents is on a log scale.

    Parameters
    ----------
    counts : Histogram
        Documents that stay below, those that do not on top of them.
    title : str
        For screen readers.
    threshold : float, optional
        Where the line stands.

    Returns
    -------
    Markup
        An ``<svg>``; empty if nothing was counted.
    """
    total = counts.counts.sum(axis=0)
    if not total.any():
        return Markup("")
    first, last = _shown(counts.bins, total, threshold)
    highest = math.log10(1 + int(total.max()))
    across = (WIDTH - LEFT - RIGHT) / (last - first)

    def x(place: float) -> float:
        return LEFT + (place - first) * across

    def y(count: float) -> float:
        return FLOOR - (FLOOR - TOP) * math.log10(1 + count) / highest

    stays, fails = list[str](), list[str]()
    for number in range(first, last):
        kept, both = int(counts.counts[0, number]), int(total[number])
        if not both:
            continue
        # A bin of both sides is divided in proportion: heights on a log scale do not add up.
        middle = FLOOR - (FLOOR - y(both)) * kept / both
        left, right = x(number) + 0.5, x(number + 1) - 0.5
        stays += [_bar(left, right, FLOOR, middle)] if kept else []
        fails += [_bar(left, right, middle, y(both))] if both > kept else []
    return Markup(
        '<svg class="histogram" viewBox="0 0 {width} {height}" role="img"><title>{title}</title>'
        '<desc>{description}</desc>{grid}<path class="stays" d="{stays}"/>'
        '<path class="fails" d="{fails}"/>{ticks}{line}</svg>'
    ).format(
        width=WIDTH,
        height=HEIGHT,
        title=title,
        description=_description(counts, threshold),
        grid=Markup("").join(_grid(int(total.max()), y)),
        stays="".join(stays),
        fails="".join(fails),
        ticks=Markup("").join(_ticks(counts.bins, first, last, x)),
        line=_threshold(counts.bins, threshold, first, last, x),
    )


def _shown(bins: Bins, total: np.ndarray, threshold: float | None) -> tuple[int, int]:
    """The bins that hold anything, and those around the threshold."""
    places = np.flatnonzero(total).tolist()
    if threshold is not None:
        at = int(bins.index(np.array([float(threshold)]))[0])
        # A line far from every document would press them into a corner.
        if bins.scale == "linear" or abs(at - places[-1]) < len(total) // 2:
            places += [max(0, at - 1), at]
    first = min(places) if bins.scale == "log" else 0
    last = max(*places, first + FEWEST_BINS - 1) + 1
    return first, min(last, bins.number)


def _bar(left: float, right: float, bottom: float, top: float) -> str:
    return f"M{left:.1f} {bottom:.1f}V{top:.1f}H{right:.1f}V{bottom:.1f}Z"


def _grid(highest: int, y: Callable[[float], float]) -> Iterator[Markup]:
    for power in range(len(str(highest))):
        count = 10**power
        yield Markup(
            '<line class="grid" x1="{x1}" x2="{x2}" y1="{at:.1f}" y2="{at:.1f}"/>'
            '<text x="{x}" y="{below:.1f}" text-anchor="end">{text}</text>'
        ).format(
            x1=LEFT,
            x2=WIDTH - RIGHT,
            at=y(count),
            x=LEFT - 5,
            below=y(count) + 3.5,
            text=short_count(count),
        )


def _ticks(bins: Bins, first: int, last: int, x: Callable[[float], float]) -> Iterator[Markup]:
    yield Markup('<line class="axis" x1="{a}" x2="{b}" y1="{y}" y2="{y}"/>').format(
        a=LEFT, b=WIDTH - RIGHT, y=FLOOR
    )
    above = bins.number - 1
    for place, value in _tick_places(bins, first, last):
        if place < above - (last == bins.number) * 0.1 * (last - first):
            yield _tick(x(place), short_count(value))
    if last == bins.number:
        yield _tick(x(above + 0.5), f"≥ {short_count(bins.edge(above))}", anchor="end", shift=12)


def _tick_places(bins: Bins, first: int, last: int) -> Iterator[tuple[float, float]]:
    if bins.scale == "log":
        if first == 0:
            yield 0.5, 0
        for power in range(12):
            place = 1 + power / bins.width
            if first <= place <= last:
                yield place, 10**power
        return
    if bins.width == 1:
        step = max(1, (last - first) // 8)
        for number in range(first, last, step):
            yield number + 0.5, number
        return
    for value in ticks(bins.edge(first), bins.edge(last), 5):
        yield value / bins.width, value


def _tick(at: float, text: str, anchor: str = "middle", shift: float = 0) -> Markup:
    return Markup('<text x="{at:.1f}" y="{y}" text-anchor="{anchor}">{text}</text>').format(
        at=at + shift, y=FLOOR + 14, anchor=anchor, text=text
    )


def _threshold(
    bins: Bins, threshold: float | None, first: int, last: int, x: Callable[[float], float]
) -> Markup:
    if threshold is None:
        return Markup("")
    place = float(bins.place(np.array([float(threshold)]))[0])
    if bins.width == 1 and bins.scale == "linear":
        place += 0.5  # whole numbers stand in the middle of their bins
    if not first <= place <= last:
        return Markup("")
    at = x(place)
    is_right = at > WIDTH * 0.7
    return Markup(
        '<line class="threshold" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{floor}"/>'
        '<text class="threshold" x="{text_at:.1f}" y="{text_y}" text-anchor="{anchor}">'
        "{text}</text>"
    ).format(
        at=at,
        top=TOP - 10,
        floor=FLOOR,
        text_at=at + (-5 if is_right else 5),
        text_y=TOP - 3,
        anchor="end" if is_right else "start",
        text=exact(threshold),
    )


def _description(counts: Histogram, threshold: float | None) -> str:
    stays, fails = (int(side.sum()) for side in counts.counts)
    if threshold is None:
        return f"{stays + fails:,} documents"
    return f"threshold {exact(threshold)}: {stays:,} documents pass, {fails:,} do not"
