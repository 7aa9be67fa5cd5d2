"""From the content of one file to documents, whatever the file lies in."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from modelwright.data.corpus import Document, new_document
from modelwright.data.decoding import is_binary, is_garbage
from modelwright.data.drops import Drops
from modelwright.data.extract.extracted import Extracted
from modelwright.data.extract.formats import Options
from modelwright.data.jsonl import MAX_BYTES, TOO_LARGE
from modelwright.data.licences import find_licence
from modelwright.data.sandbox import Failure, Sandbox, Task
from modelwright.data.sources.file_types import ROW_FORMATS, Format
from modelwright.data.sources.plain_text import decode_text, title_of
from modelwright.data.sources.settings import Extractor
from modelwright.data.sources.streams import ContentError
from modelwright.data.sources.tables import BINARY, EMPTY, Problem, RowSettings, row_documents

FROM_PAGE = "page"
AHEAD_BYTES = 16 * 2**20
"""Text that waits for an extraction before it, in characters; then the extraction is waited for."""

_TEXT_FORMATS = ("text", "markdown", "restructured", "code")
_SIZE_OF_DOCUMENT = 1000  # what a document takes besides its text, roughly


@dataclass(frozen=True)
class ContentSettings:
    """How files are read.

    Attributes
    ----------
    source : str
        Name of the source.
    text_field : str
        Field or column with the text of rows.
    licence : str
        What the user names for documents that state none.
    extractor : {"trafilatura", "resiliparse"}
        What finds the main text of web pages.
    """

    source: str
    text_field: str
    licence: str
    extractor: Extractor


@dataclass(frozen=True)
class Pending:
    """A file whose text is to be extracted in the sandbox."""

    name: str
    stem: str
    task: Task
    folder_licence: str


Item = Document | Pending


def read_content(
    file: io.BufferedReader,
    kind: Format,
    name: str,
    stem: str,
    folder_licence: str,
    settings: ContentSettings,
    drops: Drops,
) -> Generator[Item, None, Problem | None]:
    """Yield what is in a file: rows as they are read, or one document, or what extracts it.

    Parameters
    ----------
    file : io.BufferedReader
        Its content; a Parquet file must be seekable, or is read as a whole.
    kind : str
        Its format.
    name, stem : str
        Its address within the source, and what is its title if it has none.
    folder_licence : str
        Licence of the nearest licence file, or "".

    Returns
    -------
    Problem or None
        The first problem in a table of which not one row could be used.

    Raises
    ------
    ContentError
        If the file, or what is left of it, cannot be read.
    """
    if kind in ROW_FORMATS:
        rows = RowSettings(settings.source, settings.text_field, folder_licence, settings.licence)
        seekable = _seekable(file) if kind == "parquet" else file
        return (yield from row_documents(seekable, kind, name, rows, drops))
    raw = read_whole(file)
    if kind in _TEXT_FORMATS:
        yield _text_document(raw, kind, name, stem, folder_licence, settings)
    else:
        options = Options(extractor=settings.extractor)
        yield Pending(name, stem, Task(kind, raw, options), folder_licence)
    return None


def extract_in_order(
    items: Iterable[Item], sandbox: Sandbox, settings: ContentSettings, drops: Drops
) -> Iterator[Document]:
    """Extract what is pending, several at a time, and yield all documents in the order of items.

    Documents that are ready wait for the extractions before them; when more than ``AHEAD_BYTES``
    wait, no further item is taken until the extractions have ended.
    """
    source = iter(items)
    line: deque[Item] = deque()

    def tasks() -> Iterator[tuple[Pending, Task]]:
        ready = 0
        for item in source:
            line.append(item)
            if isinstance(item, Pending):
                yield item, item.task
            else:
                ready += len(item.text) + _SIZE_OF_DOCUMENT
                if ready > AHEAD_BYTES:
                    return

    while True:
        for pending, result in sandbox.map(tasks()):
            while (item := line.popleft()) is not pending:
                assert isinstance(item, Document)  # extractions end in the order of the line
                yield item
            document = _extracted(pending, result, settings, drops)
            if document is not None:
                yield document
        if not line:
            return
        while line:
            item = line.popleft()
            assert isinstance(item, Document)
            yield item


def _extracted(
    pending: Pending, result: Extracted | Failure, settings: ContentSettings, drops: Drops
) -> Document | None:
    if isinstance(result, Failure):
        drops.add(result.reason, pending.name)
        return None
    try:
        _check_text(result.text, result.replaced)
    except ContentError as error:
        drops.add(str(error), pending.name)
        return None
    licence, licence_from = find_licence(
        stated=result.licence,
        stated_by=result.licence_from or FROM_PAGE,
        folder=pending.folder_licence,
        default=settings.licence,
    )
    return new_document(
        result.text,
        source=settings.source,
        url=pending.name,
        title=result.title or pending.stem,
        licence=licence,
        licence_from=licence_from,
        raw=pending.task.raw,
        replaced=result.replaced,
    )


def _text_document(
    raw: bytes, kind: Format, name: str, stem: str, folder_licence: str, settings: ContentSettings
) -> Document:
    if is_binary(raw):
        raise ContentError(BINARY)
    text, replaced = decode_text(raw)
    _check_text(text, replaced)
    licence, licence_from = find_licence(text=text, folder=folder_licence, default=settings.licence)
    return new_document(
        text,
        source=settings.source,
        url=name,
        title=title_of(text, kind, stem),
        licence=licence,
        licence_from=licence_from,
        raw=raw,
        replaced=replaced,
    )


def _check_text(text: str, replaced: int) -> None:
    if not text.strip():
        raise ContentError(EMPTY)
    if is_garbage(text, replaced):
        raise ContentError(BINARY)


def read_whole(file: io.BufferedReader) -> bytes:
    """All of a file that is one document.

    Raises
    ------
    ContentError
        If it is larger than ``MAX_BYTES``.
    """
    raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ContentError(TOO_LARGE)
    return raw


def in_memory(raw: bytes) -> io.BufferedReader:
    """A stream of bytes that are at hand."""
    return io.BufferedReader(io.BytesIO(raw))


def _seekable(file: io.BufferedReader) -> io.BufferedReader:
    return file if file.seekable() else in_memory(read_whole(file))
