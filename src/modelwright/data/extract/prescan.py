"""A look at markup before any parser sees it, for what makes parsers take minutes.

Parsers need time in the square of the depth, of the attributes of a tag, or of a run of spaces.
This scan is linear. It reads markup as the HTML standard does in all but odd cases: it saves time,
and what it lets through meets the limits of the sandbox.
"""

from __future__ import annotations

import re

from modelwright.data.extract.extracted import ExtractionError

MAX_CHARACTERS = 20_000_000
MAX_DEPTH = 1_000
MAX_ATTRIBUTES = 500
MAX_SPAN = 65_534
"""Largest rowspan that the HTML standard knows; of colspan it is 1,000."""
MAX_CELLS = 100_000
SPACES = 500_000
"""A run of twice as many white-space characters is always found, a shorter one than this never."""

_VOID = "area base br col embed frame hr img input keygen link meta param source track wbr"
# The ends of these may be left out, and the next of them ends them: they do not nest by themselves.
_OPTIONAL_END = (
    "html head body p li dt dd option optgroup rp rt tr td th thead tbody tfoot colgroup"
)
_NOT_COUNTED = frozenset(f"{_VOID} {_OPTIONAL_END}".split())
_LOOK_BACK = 32
"""How far up an end tag closes what was left open."""

_ATTRIBUTES = r"""((?:[^>=]++|=\s*+(?:"[^"]*+"?|'[^']*+'?)?+)*+)"""
# No branch fails after it has read far: each runs to the end of the text instead, so that no
# character is read often. Loops are unrolled (Friedl, Mastering Regular Expressions, chapter 6).
_TOKEN = re.compile(
    rf"""<(?:
        /([a-zA-Z][^\s/>]*+)
      | ((?i:script|style|textarea|title|xmp|iframe|noembed|noframes))(?=[\s/>]){_ATTRIBUTES}
        [^<]*+(?:<(?!/(?i:\2)[\s/>])[^<]*+)*+
      | ([a-zA-Z][^\s/>]*+){_ATTRIBUTES}
      | !--(?:-?>|[^-]*+(?:-(?!-!?>)[^-]*+)*+)
    )""",
    re.VERBOSE,
)
_QUOTED = re.compile(r""""[^"]*+"?|'[^']*+'?""")
_SPAN = re.compile(r"""(?:col|row)span\s*+=\s*+["']?\s*+0*+(\d++)""", re.IGNORECASE)


def check_markup(markup: str) -> None:
    """Refuse a page that would keep a parser busy.

    Raises
    ------
    ExtractionError
        If it is too large, too deep, or has too many attributes in a tag, too wide or too many
        table cells, or a megabyte of white space in one piece.
    """
    if len(markup) > MAX_CHARACTERS:
        raise ExtractionError("page too large")
    if _has_long_space(markup):
        raise ExtractionError("page with endless white space")
    _check_tags(markup)


def _has_long_space(markup: str) -> bool:
    """Look at blocks: a run of two block lengths covers one of them."""
    return any(
        len(markup) - start >= SPACES and markup[start : start + SPACES].isspace()
        for start in range(0, len(markup), SPACES)
    )


def _check_tags(markup: str) -> None:
    stack: list[str] = []
    cells = 0
    for token in _TOKEN.finditer(markup):
        closed, _, raw_attributes, opened, attributes = token.groups()
        if closed:
            _close(stack, closed.lower())
            continue
        attributes = attributes or raw_attributes or ""
        if len(attributes) > 2 * MAX_ATTRIBUTES:
            _check_attributes(attributes)
        if not opened:
            continue
        name = opened.lower()
        if name in ("td", "th"):
            cells += _cells(attributes)
            if cells > MAX_CELLS:
                raise ExtractionError("page with too many table cells")
        elif name not in _NOT_COUNTED:
            stack.append(name)
            if len(stack) > MAX_DEPTH:
                raise ExtractionError("page nested too deeply")


def _close(stack: list[str], name: str) -> None:
    """Take what an end tag ends off the stack: the nearest element of its name and all inside."""
    for place in range(len(stack) - 1, max(-1, len(stack) - 1 - _LOOK_BACK), -1):
        if stack[place] == name:
            del stack[place:]
            return


def _check_attributes(attributes: str) -> None:
    if len(_QUOTED.sub(" ", attributes).replace("/", " ").split()) > MAX_ATTRIBUTES:
        raise ExtractionError("page with too many attributes in one tag")


def _cells(attributes: str) -> int:
    """How many columns and rows one cell stands for; extractors may repeat it that often."""
    spans = _SPAN.findall(attributes)
    if any(len(span) > 5 or int(span) > MAX_SPAN for span in spans):
        raise ExtractionError("page with a huge table cell")
    return max(1, sum(map(int, spans)))
