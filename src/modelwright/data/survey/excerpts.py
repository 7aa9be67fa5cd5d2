"""Pieces of documents that can be shown: short, on one line, personal data masked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from modelwright.data.parquet import Columns, RowGroup, read_frames
from modelwright.data.personal_data.detect import Match, find
from modelwright.data.personal_data.redact import redact

SNIPPET = 240
NAME = 90
CONTEXT = 70

SEARCHED = 8192
"""Characters that are searched for personal data to show the first few hundred; a private key of
4,096 bits has some 3,300."""

COLUMNS: Columns = dict.fromkeys(("id", "source", "url", "title", "text"), "text")
MASK = "•••"
CUT = "…"
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Excerpt:
    """A document as it is shown; every field is cut and without personal data."""

    id: str
    name: str
    url: str
    source: str
    snippet: str


@dataclass(frozen=True)
class Piece:
    """Part of a text, marked or not."""

    text: str
    marked: bool = False


def read_chosen(
    groups: Sequence[RowGroup], rows: Collection[int]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the documents of the given rows in order; only their row groups are read."""
    wanted, start = sorted(set(rows)), 0
    for group in groups:
        inside = {row - start for row in wanted if start <= row < start + group.rows}
        first = 0
        for frame in read_frames(group, COLUMNS) if inside else ():
            for place in sorted(row for row in inside if first <= row < first + frame.height):
                values = frame.row(place - first, named=True)
                yield start + place, {name: values.get(name) or "" for name in COLUMNS}
            first += frame.height
        start += group.rows


def excerpt(document: dict[str, str]) -> Excerpt:
    """What is shown of a document: its name, address and beginning."""
    url = short(document["url"], NAME)
    return Excerpt(
        id=short(document["id"], NAME),
        name=short(document["title"], NAME) or url,
        url=url,
        source=short(document["source"], NAME),
        snippet=short(document["text"], SNIPPET),
    )


def short(text: str, most: int) -> str:
    """The beginning of a text in one line, with placeholders for personal data."""
    return cut(one_line(redact(text[:SEARCHED]).text), most)


def cut(text: str, most: int) -> str:
    """At most ``most`` characters."""
    return text if len(text) <= most else text[: most - 1].rstrip() + CUT


def one_line(text: str) -> str:
    """White space as single spaces; characters that no page can show as U+FFFD."""
    flat = _SPACE.sub(" ", text).strip()
    return "".join("\ufffd" if unicodedata.category(one) in _UNSEEN else one for one in flat)


_UNSEEN = ("Cc", "Cs", "Co", "Cn")


def masked(value: str) -> str:
    """What may be shown of personal data: the first and the last character."""
    return value[0] + MASK + value[-1] if len(value) >= 6 else MASK


def in_context(text: str, kind: str) -> tuple[Piece, ...]:
    """The first match of a kind, masked, between the words around it; empty if there is none."""
    matches = find(text)
    match = next((one for one in matches if one.kind == kind), None)
    if match is None:
        return ()
    before = CUT + _around(text, matches, max(0, match.start - CONTEXT), match.start)
    after = _around(text, matches, match.end, match.end + CONTEXT) + CUT
    value = one_line(masked(text[match.start : match.end]))
    return (Piece(before), Piece(value, marked=True), Piece(after))


def _around(text: str, matches: Sequence[Match], start: int, end: int) -> str:
    """Part of a text, what was found in it taken out."""
    kept, place = list[str](), start
    for match in matches:
        if match.end > start and match.start < end:
            kept += [text[place : max(place, match.start)], MASK]
            place = match.end
    whole = "".join([*kept, text[place:end] if place < end else ""])
    return one_line(f"|{whole}|")[1:-1]  # the marks keep the spaces at both ends
