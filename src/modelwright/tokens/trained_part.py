"""Which part of a rendered conversation is the model's own words."""

from __future__ import annotations

import re

Region = tuple[int, int]
"""Beginning and end in characters."""


def marked_regions(text: str, start: str, end: str) -> tuple[str, list[Region]]:
    """Take the marks out of a text.

    Returns
    -------
    text : str
        Without them.
    regions : list of (int, int)
        What stood between them, where it stands now.
    """
    regions, length = list[Region](), 0
    parts = list[str]()
    for number, part in enumerate(re.split(f"[{start}{end}]", text)):
        if number % 2:
            regions.append((length, length + len(part)))
        parts.append(part)
        length += len(part)
    return "".join(parts), regions


def regions_behind(
    text: str, header: str, stop: str | None, control: re.Pattern[str]
) -> list[Region]:
    """What follows each header, up to the token that stops generation.

    This is what a model has to say when it is given all that stands before. Where the template
    does not write the stop token, the next control token ends the region.

    Parameters
    ----------
    text : str
        A conversation in which no control token comes from a message.
    header : str
        What the template writes when an answer is asked for; holds a control token.
    stop : str or None
        The token that ends an answer.
    control : re.Pattern
        Finds control tokens.
    """
    regions = list[Region]()
    start = text.find(header)
    while start >= 0:
        start += len(header)
        following = text.find(header, start)
        limit = len(text) if following < 0 else following
        place = text.find(stop, start, limit) if stop else -1
        end = _control_end(text, start, limit, control) if place < 0 else place + len(stop or "")
        if end > start:
            regions.append((start, end))
        start = following
    return regions


def extended(regions: list[Region], text: str, control: re.Pattern[str]) -> list[Region]:
    """Regions that each reach to the end of the next control token, before the next region."""
    reaching = list[Region]()
    for number, (start, end) in enumerate(regions):
        limit = regions[number + 1][0] if number + 1 < len(regions) else len(text)
        found = control.search(text, end, limit)
        reaching.append((start, found.end() if found else end))
    return reaching


def _control_end(text: str, start: int, limit: int, control: re.Pattern[str]) -> int:
    found = control.search(text, start, limit)
    return found.end() if found else limit
