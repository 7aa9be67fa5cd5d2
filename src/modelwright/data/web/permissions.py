"""What a page allows to be done with it: by its headers, and by its own tags."""

from __future__ import annotations

from collections.abc import Iterable

from modelwright.data.web.client import USER_AGENT_TOKEN, header_of
from modelwright.data.web.links import Page

NO_INDEX = "page says noindex"
NO_AI = "page says noai"
RESERVED = "page reserves text and data mining"

_NO_AI = frozenset({"noai", "noml"})
TDM_RESERVATION = "tdm-reservation"
"""Text and data mining is reserved (W3C community group, TDM Reservation Protocol)."""


def directives_of(headers: Iterable[tuple[str, str]], page: Page | None) -> frozenset[str]:
    """The words of ``X-Robots-Tag``, ``tdm-reservation`` and the page's own tags, if it has any.

    A value may begin with the name of one robot (``googlebot: noindex``); those for others do not
    count.
    """
    headers = list(headers)
    words = set(page.directives) if page else set[str]()
    for name, value in headers:
        if name.lower() == "x-robots-tag":
            words |= _for_us(value.lower())
    if header_of(headers, TDM_RESERVATION).strip() == "1":
        words.add(TDM_RESERVATION)
    return frozenset(words)


def refusal(directives: frozenset[str]) -> str:
    """The reason for which the text of a page is not used, or ""."""
    if TDM_RESERVATION in directives:
        return RESERVED
    if directives & _NO_AI:
        return NO_AI
    return NO_INDEX if directives & {"noindex", "none"} else ""


def may_follow(directives: frozenset[str]) -> bool:
    """Whether the links of a page may be followed."""
    return not directives & {"nofollow", "none"}


def _for_us(value: str) -> set[str]:
    words: set[str] = set()
    robot = ""
    for part in value.split(","):
        name, colon, rest = part.partition(":")
        if colon and name.strip() not in _WITH_VALUES:
            robot, part = name.strip(), rest
        if robot in ("", USER_AGENT_TOKEN):
            words.add(part.strip())
    return words


_WITH_VALUES = ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")
