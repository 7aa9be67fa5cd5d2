"""What a page says about itself and others: links, canonical address, what robots may do.

A scan over the tags, not a parser: linear in the size of the page, and with a limit on the tags and
attributes that are looked at, whatever the page holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import unescape

from modelwright.data.web.urls import MAX_LENGTH, Url, UrlError, parse_url

MAX_LINKS = 5_000
MAX_TAGS = 20_000
MAX_TAG_LENGTH = 4_096
MAX_ATTRIBUTES = 32

_START = re.compile(
    r"<(?:(?P<comment>!--)|(?P<raw>script|style|textarea)\b"
    r"|(?P<tag>a|area|base|link|meta)[\s/])",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(
    r"""[\s/]*([^\s=>"'/<]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+)))?""", re.DOTALL
)
_WORDS = re.compile(r"[^\s,;]+")


@dataclass(frozen=True)
class Page:
    """What a page states in its tags.

    Attributes
    ----------
    links : tuple of Url
        Where its links lead, each once, in order; those marked ``rel=nofollow`` are left out.
    canonical : Url or None
        The address that it gives as its own (``rel=canonical``).
    directives : frozenset of str
        Words of ``<meta name="robots">``, and "tdm-reservation".
    """

    links: tuple[Url, ...] = ()
    canonical: Url | None = None
    directives: frozenset[str] = frozenset()


def scan_page(raw: bytes, url: Url, user_agent: str) -> Page:
    """Read the tags of a page.

    Parameters
    ----------
    raw : bytes
        The page; read as UTF-8, as addresses are ASCII on nearly every page of another charset.
    url : Url
        Its address, which relative links start from unless the page has ``<base>``.
    user_agent : str
        ``<meta name="...">`` of this name counts as well as "robots".
    """
    base = url
    canonical: Url | None = None
    directives: set[str] = set()
    links: dict[Url, None] = {}
    for tag, attributes in _tags(raw.decode("utf-8", errors="replace")):
        if tag == "meta":
            directives |= _directives(attributes, user_agent)
            continue
        target = _target(attributes.get("href"), base)
        if target is None:
            continue
        relation = attributes.get("rel", "").lower().split()
        if tag == "base":
            base = target
        elif tag == "link":
            canonical = target if "canonical" in relation and canonical is None else canonical
        elif "nofollow" not in relation and len(links) < MAX_LINKS:
            links[target] = None
    return Page(tuple(links), canonical, frozenset(directives))


def without_links(page: Page) -> Page:
    """The same page with no links, for one that says nofollow."""
    return replace(page, links=())


def _tags(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    position = seen = 0
    while seen < MAX_TAGS and (start := _START.search(text, position)):
        seen += 1
        position = start.end()
        if start["comment"]:
            position = _after(text, "-->", position - 2)  # "<!-->" is a whole comment
        elif start["raw"]:
            position = _after(text, f"</{start['raw'].lower()}", position)
        else:
            attributes, position = _attributes(text, position)
            yield start["tag"].lower(), attributes


def _attributes(text: str, start: int) -> tuple[dict[str, str], int]:
    found: dict[str, str] = {}
    end = start + MAX_TAG_LENGTH
    position = start
    for _ in range(MAX_ATTRIBUTES):
        match = _ATTRIBUTE.match(text, position, end)
        if match is None:
            break
        position = match.end()
        name, *values = match.groups()
        value = next((value for value in values if value is not None), "")
        found.setdefault(name.lower(), unescape(value))
    return found, position


def _after(text: str, end: str, position: int) -> int:
    """Position after the next ``end`` in any case; the end of the text if there is none."""
    match = re.compile(re.escape(end), re.IGNORECASE).search(text, position)
    return match.end() if match else len(text)


def _target(href: str | None, base: Url) -> Url | None:
    if href is None or len(href) > MAX_LENGTH:
        return None
    try:
        return parse_url(href, base)
    except UrlError:  # mailto:, javascript: and the like are no pages
        return None


def _directives(attributes: dict[str, str], user_agent: str) -> set[str]:
    name = attributes.get("name", "").strip().lower()
    content = attributes.get("content", "").strip().lower()
    if name in ("robots", user_agent):
        return set(_WORDS.findall(content))
    return {name} if name == "tdm-reservation" and content == "1" else set()
