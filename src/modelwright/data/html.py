"""The readable text of a web page."""

from __future__ import annotations

import re
from dataclasses import dataclass

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import map_encoding_to_html5
from resiliparse.parse.html import HTMLTree

from modelwright.data.decoding import decode

_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE)
CHARSET_WITHIN = 1024
"""Where the HTML standard lets a page state its encoding, in bytes from its start."""


@dataclass(frozen=True)
class Page:
    """What a page says: its main text, its title, and how many U+FFFD its decoding put in."""

    text: str
    title: str
    replaced: int


def extract_page(raw: bytes) -> Page:
    """Extract the main text and the title of an HTML page.

    Menus, footers and the like are left out; where nothing is left then, all visible text counts.
    """
    markup, replaced = decode(raw, fallback=_stated_encoding(raw))
    tree = HTMLTree.parse(markup)
    text = _plain_text(tree, main_content=True) or _plain_text(tree, main_content=False)
    return Page(text, " ".join((tree.title or "").split()), replaced)


def _plain_text(tree: HTMLTree, main_content: bool) -> str:
    text = extract_plain_text(
        tree, preserve_formatting=True, main_content=main_content, alt_texts=False, comments=False
    )
    return text.strip()


def _stated_encoding(raw: bytes) -> str:
    match = _CHARSET.search(raw[:CHARSET_WITHIN])
    if match is None:
        return "utf-8"
    encoding = map_encoding_to_html5(match.group(1).decode("ascii")) or "utf-8"
    # The statement itself was readable as ASCII, so it cannot be UTF-16, whatever it says.
    return "utf-8" if encoding.startswith("utf-16") else encoding
