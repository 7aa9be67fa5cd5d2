"""Pages of a MediaWiki XML export, in bounded memory whatever the file holds."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from modelwright.data.folder import open_file
from modelwright.data.sources.streams import ContentError, ExpansionLimits, decompressed
from modelwright.data.sources.wikitext import FILE_PREFIXES

MAX_WIKITEXT = 2 * 2**20
"""Longest source of a page, in characters. MediaWiki itself refuses more bytes than this."""
MAX_FIELD = 4096
"""Longest title, namespace or model, in characters; what is longer is cut."""
MAX_TOKEN = 2**20
"""Longest piece of markup, in bytes. Expat keeps one as a whole in memory."""
MAX_DEPTH = 16
CHUNK = 2**16
LIMITS = ExpansionLimits()
"""How much larger than its file a dump may be; real ones about 5 times."""

_FILE, _CATEGORY = "6", "14"
_COLLECTED = {
    ("siteinfo", "base"): "base",
    ("namespaces", "namespace"): "namespace",
    ("page", "title"): "title",
    ("page", "ns"): "ns",
    ("revision", "model"): "model",
    ("revision", "text"): "text",
}
"""What is read: (parent, element) -> field."""


class DumpError(ValueError):
    """The dump cannot be read any further; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the wiki in its newest revision of the dump.

    Attributes
    ----------
    title : str
        With its namespace.
    namespace : str
        Number of the namespace; articles have "0".
    is_redirect : bool
        Whether it only points to another page.
    model : str
        Form of its content, usually "wikitext".
    wikitext : str or None
        Its source; None if it is too long.
    """

    title: str
    namespace: str
    is_redirect: bool
    model: str
    wikitext: str | None


@dataclass
class Site:
    """What the head of a dump says of the wiki.

    Attributes
    ----------
    base : str
        Address of the main page, or "".
    file_prefixes : set of str
        Lower-case names of the namespaces of pictures and categories.
    """

    base: str = ""
    file_prefixes: set[str] = field(default_factory=lambda: set(FILE_PREFIXES))


class DumpFile:
    """One file of a dump, plain or compressed with bzip2 (one stream or many) or gzip.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    site : Site
        Filled before the first page comes.
    position : int
        How many bytes of the file were read.
    """

    def __init__(self, path: Path):
        self._path = path
        self.site = Site()
        self.position = 0

    def pages(self) -> Iterator[Page]:
        """Yield the pages in the order of the file.

        Raises
        ------
        DumpError
            If it is damaged, cut off, no XML, or made to exhaust its reader. The pages before the
            damage were yielded.
        """
        handler = _Handler(self.site)
        parser = handler.parser()
        fed = 0
        with open_file(self._path) as opened:
            raw: io.BufferedReader = io.BufferedReader(opened)
            try:
                file = _content(raw, self._path.stat().st_size)
                while chunk := file.read1(CHUNK):
                    self.position = raw.tell()
                    fed += len(chunk)
                    parser.Parse(chunk, False)
                    yield from handler.take()
                    if fed - parser.CurrentByteIndex > MAX_TOKEN:
                        raise DumpError("markup without end")
                parser.Parse(b"", True)
            except expat.ExpatError:
                yield from handler.take()
                raise DumpError("broken or incomplete XML") from None
            except ContentError as error:
                raise DumpError(str(error)) from None
        yield from handler.take()


def _content(raw: io.BufferedReader, size: int) -> io.BufferedReader:
    """The XML, whatever it is packed in; the name does not count."""
    head = raw.peek(3)
    budget = LIMITS.budget(size)
    if head.startswith(b"BZh"):
        return decompressed(raw, "bzip2", budget)
    return decompressed(raw, "gzip", budget) if head.startswith(b"\x1f\x8b") else raw


class _Handler:
    """Puts pages together from the events of the parser."""

    def __init__(self, site: Site):
        self._site = site
        self._open: list[str] = []
        self._pages: list[Page] = []
        self._values: dict[str, str] = {}
        self._is_redirect = False
        self._collected: str | None = None
        self._pieces: list[str] = []
        self._length = 0
        self._namespace = ""

    def parser(self) -> expat.XMLParserType:
        """A parser that calls this handler, and refuses all that dumps have no need of."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse  # no DTD, so no entities of any kind
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        return parser

    def take(self) -> list[Page]:
        """The pages that are complete since the last call."""
        pages, self._pages = self._pages, []
        return pages

    def _refuse(self, name: str, system: str | None, public: str | None, internal: bool) -> None:
        raise DumpError("XML with a document type")

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        parent = self._open[-1] if self._open else ""
        self._open.append(name)
        if len(self._open) > MAX_DEPTH:
            raise DumpError("XML nested too deep")
        if name == "page":
            self._values, self._is_redirect = {}, False
        elif name == "redirect":
            self._is_redirect = True
        self._collected = _COLLECTED.get((parent, name))
        self._pieces, self._length = [], 0
        if self._collected == "namespace":
            self._namespace = attributes.get("key", "")

    def _characters(self, text: str) -> None:
        if self._collected is None:
            return
        limit = MAX_WIKITEXT if self._collected == "text" else MAX_FIELD
        if self._length <= limit:
            self._pieces.append(text)
            self._length += len(text)

    def _end(self, name: str) -> None:
        self._open.pop()
        if self._collected is not None:
            self._keep(self._collected, "".join(self._pieces))
            self._collected = None
        elif name == "page":
            self._pages.append(self._page())

    def _keep(self, collected: str, value: str) -> None:
        if collected == "base":
            self._site.base = value.strip()[:MAX_FIELD]
        elif collected != "namespace":
            self._values[collected] = value
        elif self._namespace in (_FILE, _CATEGORY) and len(self._site.file_prefixes) < 64:
            self._site.file_prefixes.add(value.strip().lower()[:MAX_FIELD])

    def _page(self) -> Page:
        values = self._values
        wikitext = values.get("text", "")
        return Page(
            title=values.get("title", "").strip()[:MAX_FIELD],
            namespace=values.get("ns", "0").strip(),
            is_redirect=self._is_redirect,
            model=values.get("model", "wikitext").strip(),
            wikitext=wikitext if len(wikitext) <= MAX_WIKITEXT else None,
        )
