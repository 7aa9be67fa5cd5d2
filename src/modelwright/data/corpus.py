"""The corpus: Parquet files of bounded size, one row a document."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from modelwright.core.artifact import UNKNOWN_LICENCE
from modelwright.core.errors import InputError
from modelwright.core.files import PARTIAL_SUFFIX
from modelwright.data.decoding import replace_surrogates
from modelwright.data.parquet import Columns, TableWriter, read_rows

Split = Literal["train", "validation"]

FILE_BYTES = 256 * 2**20
"""Text in one Parquet file, in bytes before compression; the last document may exceed it."""

GROUP_BYTES = 8 * 2**20
GROUP_ROWS = 4096
"""A row group is written when it holds this much; this bounds the memory of the writer."""

DROPPED = "dropped.parquet"
_PATTERN = "documents-*.parquet"
DOCUMENT_COLUMNS: Columns = {
    "id": "text",
    "text": "text",
    "source": "text",
    "url": "text",
    "title": "text",
    "licence": "text",
    "licence_from": "text",
    "fetched_at": "text",
    "sha256": "text",
    "replaced": "integer",
    "split": "text",
}
_OPTIONAL_COLUMNS = frozenset({"licence_from", "fetched_at", "split"})
_DROPPED_COLUMNS: Columns = {
    "id": "text",
    "url": "text",
    "reason": "text",
    "duplicate_of": "text",
}


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a corpus.

    Attributes
    ----------
    id : str
        First 16 hexadecimal digits of a hash over source, address and raw bytes.
    text : str
        What is trained on.
    source, url, title : str
        Which source it came from, its address within it, and its title ("" if it has none).
    licence : str
        SPDX identifier.
    licence_from : str
        How the licence was found ("settings", "SPDX tag", "LICENSE file", ...), or "".
    fetched_at : str
        When it was fetched (ISO 8601, UTC), or "" for what lay on this machine.
    sha256 : str
        Hash of the raw bytes, before any extraction.
    replaced : int
        How many U+FFFD stand in the text for bytes that could not be read.
    split : {"train", "validation"} or None
        What it is used for; None before the prepare stage.
    """

    id: str
    text: str
    source: str
    url: str
    title: str
    licence: str
    sha256: str
    replaced: int = 0
    licence_from: str = ""
    fetched_at: str = ""
    split: Split | None = None


@dataclass(frozen=True, slots=True)
class DroppedDocument:
    """A document that was left out, and why."""

    id: str
    url: str
    reason: str
    duplicate_of: str | None = None


def new_document(
    text: str,
    *,
    source: str,
    url: str,
    title: str,
    licence: str,
    raw: bytes | None = None,
    replaced: int = 0,
    licence_from: str = "",
    fetched_at: str = "",
) -> Document:
    """Make a document with its id and hash; lone surrogates become U+FFFD and are counted.

    Parameters
    ----------
    raw : bytes, optional
        What the text was read from; the text itself in UTF-8 by default.
    """
    text, lone = replace_surrogates(text)
    source, url, title, licence = (
        replace_surrogates(field)[0] for field in (source, url, title, licence)
    )
    digest = hashlib.sha256(text.encode() if raw is None else raw).hexdigest()
    identity = hashlib.sha256("\0".join((source, url, digest)).encode()).hexdigest()
    return Document(
        id=identity[:16],
        text=text,
        source=source,
        url=url,
        title=title,
        licence=licence,
        sha256=digest,
        replaced=replaced + lone,
        licence_from=licence_from,
        fetched_at=fetched_at,
    )


class CorpusWriter:
    """Writes documents one after the other into ``documents-00000.parquet`` and so on.

    Use it in a ``with`` statement; documents of an earlier, cut-off writer are removed. Memory is
    bounded by a row group and one document.

    Parameters
    ----------
    folder : Path
        Where to write.
    file_bytes, group_bytes : int
        Text in a file and in a row group, in UTF-8 bytes.
    first_file : int
        Number of the first file; those before it stay.
    """

    def __init__(
        self,
        folder: Path,
        file_bytes: int = FILE_BYTES,
        group_bytes: int = GROUP_BYTES,
        first_file: int = 0,
    ):
        self._folder = folder
        self._file_bytes = file_bytes
        self._group_bytes = group_bytes
        self._group: list[dict[str, Any]] = []
        self._in_group = 0
        self._in_file = 0
        self._first_file = first_file
        self._open = ExitStack()
        self._table: TableWriter | None = None
        self.files = first_file
        self.documents = 0
        self.characters = 0
        self.bytes = 0

    def __enter__(self) -> CorpusWriter:
        clear_corpus(self._folder, self._first_file)
        return self

    def write(self, document: Document) -> int:
        """Add one document and return the size of its text in UTF-8 bytes.

        Raises
        ------
        InputError
            If its text holds lone surrogates, which Parquet cannot keep.
        """
        try:
            size = len(document.text.encode())
        except UnicodeEncodeError:
            raise InputError(
                "the text holds lone surrogates and cannot be written as UTF-8",
                where=f"document {document.id} ({document.url})",
                fix="make the document with new_document, which replaces and counts them",
            ) from None
        self._group.append(_row(document))
        self._in_group += size
        self._in_file += size
        self.documents += 1
        self.characters += len(document.text)
        self.bytes += size
        if self._in_group >= self._group_bytes or len(self._group) >= GROUP_ROWS:
            self._write_group()
        if self._in_file >= self._file_bytes:
            self._finish_file()
        return size

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._open.__exit__(kind, error, trace)
            return
        try:
            if self._group or self._table is not None or self.files == 0:
                self._write_group()
        except BaseException as late:  # as if in the body of the "with"
            self._open.__exit__(type(late), late, late.__traceback__)
            raise
        if self._table is not None:
            self._close_file()

    def _write_group(self) -> None:
        if self._table is None:
            path = self._folder / corpus_file(self.files)
            self._table = self._open.enter_context(TableWriter(path, DOCUMENT_COLUMNS))
        self._table.write(self._group)
        self._group = []
        self._in_group = 0

    def _finish_file(self) -> None:
        self._write_group()
        self._close_file()

    def _close_file(self) -> None:
        self._open.close()
        self._open = ExitStack()
        self._table = None
        self._in_file = 0
        self.files += 1


def corpus_file(number: int) -> str:
    """Name of a file of a corpus."""
    return f"documents-{number:05d}.parquet"


def clear_corpus(folder: Path, first_file: int = 0) -> None:
    """Remove the documents that a cut-off writer left, from the file of that number on."""
    for pattern in (_PATTERN, _PATTERN + PARTIAL_SUFFIX):
        for path in folder.glob(pattern):
            if path.name >= corpus_file(first_file):
                path.unlink()


def read_documents(folder: Path, split: Split | None = None) -> Iterator[Document]:
    """Yield the documents of a corpus in order.

    A folder of Parquet files that another tool wrote will do: only ``text`` is needed, and what
    else is missing is filled in.

    Parameters
    ----------
    folder : Path
        The corpus.
    split : {"train", "validation"}, optional
        Only the documents of this split.

    Raises
    ------
    InputError
        If there is no Parquet file, or one is damaged or has no text.
    """
    for path in parquet_files(folder):
        for number, row in enumerate(read_rows(path, DOCUMENT_COLUMNS, required="text")):
            if split is None or row.get("split") == split:
                yield _document(row, path, number)


def read_texts(folder: Path, split: Split | None = None) -> Iterator[str]:
    """Yield only the texts of a corpus, in the order of :func:`read_documents`."""
    for document in read_documents(folder, split):
        yield document.text


def write_dropped(path: Path, documents: Iterable[DroppedDocument]) -> None:
    """Write the list of documents that were left out."""
    with TableWriter(path, _DROPPED_COLUMNS) as table:
        remaining = iter(documents)
        while rows := [asdict(document) for document in itertools.islice(remaining, GROUP_ROWS)]:
            table.write(rows)


def read_dropped(path: Path) -> Iterator[DroppedDocument]:
    """Yield the documents that were left out.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    for row in read_rows(path, _DROPPED_COLUMNS, required="id"):
        yield DroppedDocument(**row)


def _row(document: Document) -> dict[str, Any]:
    return {field.name: getattr(document, field.name) for field in fields(document)}


def _document(row: Mapping[str, Any], path: Path, number: int) -> Document:
    where = f"{path}, row {number}"
    text = row.get("text")
    if not isinstance(text, str):
        raise InputError("a document without 'text'", where=where, fix="give every row a text")
    split = row.get("split")
    if split not in ("train", "validation", None):
        raise InputError(
            f"'split' is '{split}'", where=where, fix="use 'train' or 'validation', or no split"
        )
    known = {name: row[name] for name in DOCUMENT_COLUMNS if row.get(name) is not None}
    if not known.keys() >= DOCUMENT_COLUMNS.keys() - _OPTIONAL_COLUMNS:
        filled = new_document(
            text,
            source=str(row.get("source") or "import"),
            url=str(row.get("url") or f"{path.name}#{number}"),
            title=str(row.get("title") or ""),
            licence=str(row.get("licence") or UNKNOWN_LICENCE),
        )
        known = {**_row(filled), **known}
    return Document(**known)


def parquet_files(folder: Path) -> list[Path]:
    """The files of a corpus in order, ours or another tool's.

    Raises
    ------
    InputError
        If there is none.
    """
    paths = sorted(folder.glob(_PATTERN))
    if not paths:
        paths = sorted(path for path in folder.glob("*.parquet") if path.name != DROPPED)
    if not paths:
        raise InputError(
            "no documents here: no Parquet file", where=folder, fix="give the folder of a corpus"
        )
    return paths
