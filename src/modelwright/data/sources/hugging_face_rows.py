"""The rows of one file of a data set."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from modelwright.data.corpus import Document
from modelwright.data.drops import Drops
from modelwright.data.sources.hugging_face_files import DataFile
from modelwright.data.sources.streams import DAMAGED, ContentError, ExpansionLimits, decompressed
from modelwright.data.sources.tables import OPTIONAL_FIELDS, RowSettings, row_documents

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BAD_ARROW = f"{DAMAGED}: Arrow file"
MAX_HEAD_BYTES = 2**20


def file_documents(
    raw: io.BufferedReader, size: int, file: DataFile, name: str, rows: RowSettings, drops: Drops
) -> Iterator[Document]:
    """Yield the documents in a file; rows that hold none are counted.

    Parameters
    ----------
    raw : io.BufferedReader
        The file, seekable.
    size : int
        Its length in bytes.
    file : DataFile
        What it is.
    name : str
        Its address, to which the address of each row is added.
    rows : RowSettings
        What rows have in common.

    Raises
    ------
    ContentError
        If the rest of it cannot be read, or it has no such column.
    """
    content = _decompressed(raw, size, file)
    if file.format == "arrow":
        lines: io.BufferedReader = io.BufferedReader(_ArrowLines(content, rows.text_field))
        return row_documents(lines, "jsonl", name, rows, drops)
    return row_documents(content, file.format, name, rows, drops)


def field_names(raw: io.BufferedReader, size: int, file: DataFile) -> list[str]:
    """The names of a file's columns, as far as its head tells them."""
    try:
        if file.format == "parquet":
            return list(pq.read_schema(raw).names)
        if file.format == "arrow":
            return list(pa.ipc.open_stream(raw).schema.names)
        line = _decompressed(raw, size, file).readline(MAX_HEAD_BYTES)
        head = line.decode("utf-8-sig", errors="replace")
        if file.format == "jsonl":
            first = json.loads(head)
            return list(first) if isinstance(first, dict) else []
        delimiter = "\t" if file.format == "tsv" else ","
        return next(csv.reader([head], delimiter=delimiter), [])
    except (pa.ArrowException, ContentError, OSError, ValueError, RecursionError, csv.Error):
        return []


def _decompressed(raw: io.BufferedReader, size: int, file: DataFile) -> io.BufferedReader:
    if file.compression is None:
        return raw
    return decompressed(raw, file.compression, ExpansionLimits().budget(size))


class _ArrowLines(io.RawIOBase):
    """The text columns of an Arrow stream, as ``save_to_disk`` writes it, as JSON lines."""

    def __init__(self, file: io.BufferedReader, text_field: str):
        self._lines = _arrow_lines(file, text_field)
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        if not self._left:
            self._left = next(self._lines, b"")
        size = min(len(view), len(self._left))
        view[:size], self._left = self._left[:size], self._left[size:]
        return size


def _arrow_lines(file: io.BufferedReader, text_field: str) -> Iterator[bytes]:
    try:
        with pa.ipc.open_stream(file) as stream:
            names = _text_columns(stream.schema, text_field)
            for batch in stream:
                values = [batch.column(name).to_pylist() for name in names]
                for row in zip(*values, strict=True):
                    yield json.dumps(dict(zip(names, row, strict=True))).encode() + b"\n"
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ContentError(BAD_ARROW) from None


def _text_columns(schema: pa.Schema, text_field: str) -> list[str]:
    def is_text(name: str) -> bool:
        kind = schema.field(name).type
        is_number = name == "id" and pa.types.is_integer(kind)
        return bool(is_number or pa.types.is_string(kind) or pa.types.is_large_string(kind))

    if schema.names.count(text_field) != 1:
        raise ContentError(f"no column '{text_field}'")
    if not is_text(text_field):
        raise ContentError(f"column '{text_field}' is not text")
    optional = [name for name in OPTIONAL_FIELDS if schema.names.count(name) == 1]
    return [text_field, *(name for name in optional if name != text_field and is_text(name))]
