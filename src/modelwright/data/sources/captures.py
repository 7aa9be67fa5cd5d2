"""From recorded responses to documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from modelwright.data.corpus import Document, new_document
from modelwright.data.decoding import is_binary, is_garbage
from modelwright.data.drops import Drops
from modelwright.data.extract.charset import decode_page
from modelwright.data.extract.extracted import Extracted
from modelwright.data.extract.formats import Options
from modelwright.data.licences import FROM_SETTINGS
from modelwright.data.sandbox import Failure, Task
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import Extractor
from modelwright.data.web.client import OTHER_TYPE, USER_AGENT_TOKEN
from modelwright.data.web.links import scan_page
from modelwright.data.web.permissions import directives_of, refusal
from modelwright.data.web.urls import UrlError, parse_url
from modelwright.data.web.warc import Capture

PLAIN = "plain"
EMPTY = "page without text"
BINARY = "binary content"

_KINDS = {
    "text/html": "page",
    "application/xhtml+xml": "page",
    "application/pdf": "pdf",
    "text/plain": PLAIN,
}


@dataclass(frozen=True)
class Origin:
    """What the documents of a source have in common.

    Attributes
    ----------
    source : str
        Name of the source.
    licence : str
        SPDX licence of pages that state none.
    extractor : {"trafilatura", "resiliparse"}
    """

    source: str
    licence: str
    extractor: Extractor


def documents_of(
    captures: Iterable[Capture], reading: Reading, origin: Origin
) -> Iterator[Document]:
    """Yield the documents in responses, in order; count what is left out.

    Pages and PDFs are read in the sandbox. A page that says noindex or noai, or reserves text and
    data mining, is left out.
    """
    usable = (one for one in captures if _is_usable(one, reading.drops))
    for kind, run in groupby(usable, key=kind_of):
        if kind == PLAIN:
            for capture in run:
                yield from _document(capture, _plain(capture), reading.drops, origin)
            continue
        tasks = ((one, Task(kind, one.body, _options(one, origin))) for one in run)
        for capture, result in reading.sandbox.map(tasks):
            yield from _document(capture, result, reading.drops, origin)


def kind_of(capture: Capture) -> str:
    """What reads it: "page", "pdf", or "plain"; "" if nothing does."""
    stated = capture.header("content-type").partition(";")[0].strip().lower()
    if stated:
        return _KINDS.get(stated, "")
    start = capture.body[:512].lstrip()
    if start.startswith(b"%PDF-"):
        return "pdf"
    return "page" if start.startswith(b"<") else PLAIN


def _is_usable(capture: Capture, drops: Drops) -> bool:
    kind = kind_of(capture)
    if not kind:
        drops.add(OTHER_TYPE)
        return False
    if reason := refusal(_directives(capture, kind)):
        drops.add(reason, capture.url)
        return False
    return True


def _directives(capture: Capture, kind: str) -> frozenset[str]:
    page = None
    if kind == "page":
        try:
            page = scan_page(capture.body, parse_url(capture.url), USER_AGENT_TOKEN)
        except UrlError:  # recorded by somebody else; its tags count all the same
            page = scan_page(capture.body, parse_url("http://unknown/"), USER_AGENT_TOKEN)
    return directives_of(capture.headers, page)


def _options(capture: Capture, origin: Origin) -> Options:
    return Options(origin.extractor, capture.header("content-type"), capture.url)


def _plain(capture: Capture) -> Extracted | Failure:
    if is_binary(capture.body):
        return Failure(BINARY)
    text, replaced = decode_page(capture.body, capture.header("content-type"))
    return Failure(BINARY) if is_garbage(text, replaced) else Extracted(text, replaced=replaced)


def _document(
    capture: Capture, result: Extracted | Failure, drops: Drops, origin: Origin
) -> Iterator[Document]:
    """The document of a response, or nothing."""
    if isinstance(result, Failure):
        drops.add(result.reason, capture.url)
    elif not result.text.strip():
        drops.add(EMPTY, capture.url)
    else:
        yield new_document(
            result.text,
            source=origin.source,
            url=capture.url,
            title=result.title,
            licence=result.licence or origin.licence,
            licence_from=result.licence_from if result.licence else FROM_SETTINGS,
            raw=capture.body,
            replaced=result.replaced,
            fetched_at=capture.date,
        )
