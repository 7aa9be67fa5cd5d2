"""Lists of addresses: sitemaps, indexes of sitemaps, RSS and Atom feeds."""

from __future__ import annotations

from dataclasses import dataclass
from xml.parsers import expat

from modelwright.data.web.encodings import EncodingError, decompress
from modelwright.data.web.urls import MAX_LENGTH

TYPES = frozenset(
    {
        "application/xml",
        "text/xml",
        "application/rss+xml",
        "application/atom+xml",
        "application/rdf+xml",
        "application/gzip",
        "application/x-gzip",
        "application/octet-stream",
        "text/plain",
        "text/html",  # some servers send feeds so
    }
)
MAX_ADDRESSES = 50_000
"""Most addresses in one sitemap (sitemaps.org, protocol)."""

MAX_BYTES = 50 * 2**20
MAX_RATIO = 200
MAX_DEPTH = 64
BROKEN = "broken sitemap or feed"
_SLICE = 2**16


class SitemapError(ValueError):
    """A sitemap or feed that cannot be read; the message is the reason, countable."""


@dataclass(frozen=True)
class Listing:
    """What a sitemap or feed names.

    Attributes
    ----------
    pages, sitemaps : tuple of str
        Addresses of pages and of further sitemaps, as written, in order.
    """

    pages: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()


def read_listing(raw: bytes) -> Listing:
    """Read a sitemap (XML or one address a line), an index of sitemaps, or a feed.

    It may be gzip; no entity is expanded and nothing outside is loaded.

    Raises
    ------
    SitemapError
        If it is damaged, declares entities, nests too deep, or is larger than 50 MiB.
    """
    if raw.startswith(b"\x1f\x8b"):
        slices = (raw[start : start + _SLICE] for start in range(0, len(raw), _SLICE))
        try:
            raw = b"".join(decompress(slices, "gzip", MAX_BYTES, MAX_RATIO))
        except EncodingError as error:
            raise SitemapError(str(error)) from None
    head = raw[:512].removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:4].lower() == b"http":
        lines = (line.strip() for line in raw.decode("utf-8-sig", errors="replace").splitlines())
        return Listing(pages=tuple(line for line in lines if line)[:MAX_ADDRESSES])
    return _Reader().read(raw)


class _Reader:
    """Collects addresses while expat walks over the elements."""

    def __init__(self) -> None:
        self._path: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._pages: dict[str, None] = {}
        self._sitemaps: dict[str, None] = {}

    def read(self, raw: bytes) -> Listing:
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.EntityDeclHandler = _refuse_entity
        try:
            parser.Parse(raw, True)
        except (expat.ExpatError, LookupError, ValueError) as error:
            if isinstance(error, SitemapError):
                raise
            raise SitemapError(BROKEN) from None
        return Listing(tuple(self._pages), tuple(self._sitemaps))

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name.rpartition(":")[2].lower())
        self._begin_text()
        if len(self._path) > MAX_DEPTH:
            raise SitemapError(BROKEN)
        is_page = attributes.get("rel", "alternate") == "alternate"
        if self._path[-2:] == ["entry", "link"] and is_page:  # Atom
            self._add(self._pages, attributes.get("href", ""))

    def _end(self, name: str) -> None:
        text = "".join(self._text)
        if self._path[-2:] in (["url", "loc"], ["item", "link"]):  # sitemap, RSS
            self._add(self._pages, text)
        elif self._path[-2:] == ["sitemap", "loc"]:
            self._add(self._sitemaps, text)
        self._path.pop()
        self._begin_text()

    def _begin_text(self) -> None:
        self._text = []
        self._length = 0

    def _characters(self, text: str) -> None:
        if self._length <= MAX_LENGTH:
            self._text.append(text)
            self._length += len(text)

    def _add(self, found: dict[str, None], text: str) -> None:
        text = text.strip()
        if text and len(found) < MAX_ADDRESSES:
            found[text] = None


def _refuse_entity(*declaration: object) -> None:
    raise SitemapError("sitemap or feed that declares entities")
