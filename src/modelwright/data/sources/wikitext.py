"""From wikitext to plain text, in time that grows linearly with its length.

Wikitext comes from strangers, so nothing here may be slow on purpose-made input: one scan with a
stack takes out templates, tables and links, and what is left needs only expressions that never
look at a character more than a few times.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Literal

FILE_PREFIXES = frozenset({"file", "image", "category"})
"""Links that begin with these names are pictures and categories, in every wiki."""

_DROPPED = (
    "categorytree",
    "gallery",
    "graph",
    "hiero",
    "imagemap",
    "includeonly",
    "inputbox",
    "mapframe",
    "maplink",
    "ref",
    "references",
    "score",
    "script",
    "style",
    "table",
    "templatedata",
    "timeline",
)
"""Tags that go with what they hold."""

_LITERAL = ("ce", "chem", "math", "nowiki", "pre", "source", "syntaxhighlight")
"""Tags whose content stays as it is written; only the tag goes."""

_BREAKS = ("blockquote", "br", "center", "dd", "div", "dl", "dt", "hr", "li", "ol", "p", "poem")
"""Tags that begin a new line and go, while what they hold stays."""

_INLINE = (
    *("abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "i", "indicator", "ins", "kbd", "mark", "noinclude"),
    *("onlyinclude", "q", "rb", "rp", "rt", "ruby", "s", "samp", "section", "small", "span"),
    *("strike", "strong", "sub", "sup", "templatestyles", "time", "translate", "tt", "u", "ul"),
    *("var", "wbr"),
)
"""Tags that go while what they hold stays. Any other ``<`` is text."""

_TOKEN = re.compile(
    r"(?P<comment><!--)"
    rf"|<(?P<tag>{'|'.join((*_DROPPED, *_LITERAL))})(?=[\s/>])[^<>]*>"
    r"|(?P<open>\{{2,})|(?P<close>\}{2,})"
    r"|(?P<table>^[ \t:]{0,8}\{\|)|(?P<end>^[ \t]{0,8}\|\}(?!\}))"
    r"|(?P<link>\[\[)|(?P<unlink>\]\])",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(rf"<(/?)({'|'.join((*_BREAKS, *_INLINE))})(?=[\s/>])[^<>]*>", re.IGNORECASE)
_STRAY_TAG = re.compile(rf"</?(?:{'|'.join((*_DROPPED, *_LITERAL))})\s{{0,8}}/?>", re.IGNORECASE)
_QUOTES = re.compile(r"'{2,}")
_EXTERNAL = re.compile(r"\[(?:https?:|ftp:|mailto:|//)[^\s\[\]<>]*([^\[\]\n]*)\]", re.IGNORECASE)
_SWITCH = re.compile(r"__[A-Z]{3,30}__")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_SPACES = re.compile(r"[^\S\n]+")
_EMPTY_PARENTHESES = re.compile(r" \([\s,;:]*\)|（[\s,;，；、]*）")
_AFTER_PARENTHESIS = re.compile(r"(?<= \()\s*[,;]\s*")
_BEFORE_POINT = re.compile(r" (?=[,.](?:\s|$))", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")
_LANGUAGE_LINK = re.compile(r"[a-z]{2,3}(?:-[a-z]{2,12}){0,2}:[^\s|]")
_KEPT = re.compile("\0([0-9]+)\0")

MAX_LINK_DEPTH = 8
"""Links stand in captions, and hardly deeper. What is inside is copied once a level."""

Kind = Literal["template", "table", "link"]
_OPENERS: dict[Kind, str] = {"template": "", "table": "", "link": "[["}


@dataclass(slots=True)
class _Open:
    """A bracket that is not closed yet: what it is, and the pieces before it."""

    kind: Kind
    start: int


def plain_text(wikitext: str, file_prefixes: frozenset[str] = FILE_PREFIXES) -> str:
    """The text that a reader of the page would see, without its boxes, tables and notes.

    Templates, tables, references, galleries, pictures, categories and comments go. Links become
    their text, headings a paragraph of their own, entries of lists lines that begin with ``-``.
    Formulas and code stay as they are written. Brackets that are never closed are text.

    Parameters
    ----------
    wikitext : str
        Source of a page.
    file_prefixes : frozenset of str
        Lower-case names of the namespaces of pictures and categories in the page's language.
    """
    scan = _Scan(wikitext.replace("\0", ""), file_prefixes)
    text = scan.restore(_tidy(_inline(scan.run())))
    return _BLANK_LINES.sub("\n\n", text).strip()


class _Scan:
    """One pass over the structure: pieces of text, and a stack of what is open."""

    def __init__(self, source: str, file_prefixes: frozenset[str]):
        self._source = source
        self._file_prefixes = file_prefixes
        self._pieces: list[str] = []
        self._stack: list[_Open] = []
        self._depth: dict[Kind, int] = {"template": 0, "table": 0, "link": 0}
        self._kept: list[str] = []
        self._never_closed: set[str] = set()

    def run(self) -> str:
        """The source without templates, tables and notes, with links as their text."""
        source, position = self._source, 0
        while token := _TOKEN.search(source, position):
            self._pieces.append(source[position : token.start()])
            position = token.end()
            match token.lastgroup:
                case "comment":
                    position = self._after("-->", position)
                case "tag":
                    position = self._tag(token)
                case "open":
                    for _ in range(len(token[0]) // 2):
                        self._open("template")
                case "close":
                    self._close_templates(token[0])
                case "table":
                    self._open("table")
                case "end":
                    self._close("table", token[0])
                case "link" if self._depth["link"] < MAX_LINK_DEPTH:
                    self._open("link")
                case "link":
                    self._pieces.append("[[")
                case _:
                    self._close_link()
        self._pieces.append(source[position:])
        for one in self._stack:
            self._pieces[one.start] = _OPENERS[one.kind] + self._pieces[one.start]
        return "".join(self._pieces)

    def restore(self, text: str) -> str:
        """Put the content of literal tags back."""
        return _KEPT.sub(lambda found: self._kept[int(found[1])], text)

    def _open(self, kind: Kind) -> None:
        self._stack.append(_Open(kind, len(self._pieces)))
        self._depth[kind] += 1
        self._pieces.append("")

    def _pop(self, kind: Kind) -> str:
        """Take the innermost open bracket of that kind off the stack, with all that is in it."""
        while True:
            one = self._stack.pop()
            self._depth[one.kind] -= 1
            if one.kind == kind:
                break
            self._pieces[one.start] = _OPENERS[one.kind] + self._pieces[one.start]
        content = "".join(self._pieces[one.start :])
        del self._pieces[one.start :]
        return content

    def _close(self, kind: Kind, written: str) -> None:
        if self._depth[kind]:
            self._pop(kind)
        else:
            self._pieces.append(written)

    def _close_templates(self, braces: str) -> None:
        pairs = len(braces) // 2
        closed = min(pairs, self._depth["template"])
        for _ in range(closed):
            self._pop("template")
        if not closed:
            self._pieces.append(braces)

    def _close_link(self) -> None:
        # Only the innermost bracket: a link never reaches out of its template.
        if self._stack and self._stack[-1].kind == "link":
            self._pieces.append(self._link_text(self._pop("link")))
        else:
            self._pieces.append("]]")

    def _link_text(self, content: str) -> str:
        target, bar, label = content.partition("|")
        target = target.strip()
        prefix, colon, _ = target.partition(":")
        if colon and prefix.strip().lower() in self._file_prefixes:
            return ""
        if not bar and _LANGUAGE_LINK.match(target):
            return ""
        if label.strip():
            return label
        shown = target.removeprefix(":")
        return shown.partition(" (")[0] if bar else shown

    def _tag(self, token: re.Match[str]) -> int:
        name = token["tag"].lower()
        if token[0].endswith("/>"):
            return token.end()
        end = self._after(f"</{name}", token.end())
        if end == len(self._source) and f"</{name}" in self._never_closed:
            return token.end()  # the tag alone goes, as nobody knows how far it was meant to reach
        if name in _LITERAL:
            # Inside a template it goes with it, and the number is never asked for again.
            self._pieces.append(f"\0{len(self._kept)}\0")
            content = self._source[token.end() : end - len(name) - 2]
            self._kept.append(html_text(content) if name in ("nowiki", "pre") else content)
        closing = self._source.find(">", end, end + 16)
        return end if closing < 0 else closing + 1

    def _after(self, mark: str, position: int) -> int:
        """The place behind the next ``mark``, or the end. A mark that is missing is sought once."""
        if mark in self._never_closed:
            return len(self._source)
        found = re.compile(re.escape(mark), re.IGNORECASE).search(self._source, position)
        if found is None:
            self._never_closed.add(mark)
            return len(self._source)
        return found.end()


def html_text(text: str) -> str:
    """Text with its character references replaced."""
    return _ENTITY.sub(lambda found: html.unescape(found[0]), text)


def _inline(text: str) -> str:
    text = _TAG.sub(lambda tag: "\n" if tag[2].lower() in _BREAKS else "", text)
    text = _STRAY_TAG.sub("", text)
    text = _EXTERNAL.sub(lambda link: link[1].strip(), text)
    text = _QUOTES.sub(_apostrophes, text)
    return html_text(_SWITCH.sub("", text))


def _apostrophes(run: re.Match[str]) -> str:
    """What is left of a run: 2, 3 and 5 are italic, bold and both."""
    length = len(run[0])
    return "'" if length == 4 else "'" * max(0, length - 5)


def _tidy(text: str) -> str:
    """Give lines their final form and take out what the removed parts left behind."""
    text = _EMPTY_PARENTHESES.sub("", _SPACES.sub(" ", text))
    text = _AFTER_PARENTHESIS.sub("", text)
    lines = [_line(line) for line in text.splitlines()]
    text = "\n".join(line for line in lines if line is not None)
    return _BEFORE_POINT.sub("", text)


def _line(line: str) -> str | None:
    """One line as it is shown; None if it was nothing but markup."""
    bare = line.strip()
    if not bare:
        return ""
    if bare.startswith(("|", "{|", "----")):
        return None  # what is left of a table that was never closed, and rules
    if bare.startswith("=") and bare.endswith("="):
        title = bare.strip("=").strip()
        return f"\n{title}\n" if title else None
    content = bare.lstrip("*#:;")
    marks, content = bare[: len(bare) - len(content)], content.strip()
    if not marks:
        return bare
    if not content:
        return None
    depth = marks.count("*") + marks.count("#")
    return f"{'  ' * (min(depth, 8) - 1)}- {content}" if depth else content
