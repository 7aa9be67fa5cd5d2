"""Files in which every row is a document: JSON lines, JSON lists, CSV, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelwright.data.corpus import Document, new_document
from modelwright.data.decoding import REPLACEMENT, decode, is_garbage, one_line_end
from modelwright.data.drops import Drops
from modelwright.data.jsonl import MAX_BYTES, TOO_LARGE, Line, lines_of
from modelwright.data.licences import find_licence
from modelwright.data.sources.file_types import Format
from modelwright.data.sources.parquet_rows import parquet_rows
from modelwright.data.sources.plain_text import SAMPLE_BYTES, decode_text, legacy_encoding
from modelwright.data.sources.streams import ContentError

BROKEN_JSON = "broken JSON"
NOT_A_LIST = "JSON that is no list of objects"
NOT_AN_OBJECT = "not a JSON object"
BROKEN_CSV = "broken CSV"
WRONG_WIDTH = "CSV row with another number of fields than the header"
BINARY = "binary content"
EMPTY = "no text in it"

DELIMITERS = (",", ";", "\t")
OPTIONAL_FIELDS = ("id", "url", "title", "licence", "license")


@dataclass(frozen=True)
class Row:
    """One row, before anything of it is believed.

    Attributes
    ----------
    place : str
        "line 3" or "row 3", counted from 1.
    identity : str
        What stands for its id if it has none.
    fields : mapping
        Its values by name.
    raw : bytes or None
        Its bytes, where they are known.
    replaced : int
        How many U+FFFD its decoding put in.
    problem : str
        Why it is not usable, or "".
    """

    place: str
    identity: str
    fields: Mapping[str, Any]
    raw: bytes | None = None
    replaced: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Problem:
    """The first thing wrong in a file of which no row could be used."""

    place: str
    reason: str


@dataclass(frozen=True)
class RowSettings:
    """What rows have in common.

    Attributes
    ----------
    source : str
        Name of the source.
    text_field : str
        Which field or column holds the text.
    folder_licence, licence : str
        Of the nearest licence file ("" if none), and what the user names.
    """

    source: str
    text_field: str
    folder_licence: str
    licence: str


def row_documents(
    file: io.BufferedReader, kind: Format, name: str, settings: RowSettings, drops: Drops
) -> Generator[Document, None, Problem | None]:
    """Yield the documents in a table; rows that hold none are counted.

    Returns
    -------
    Problem or None
        The first problem if not one row could be used.

    Raises
    ------
    ContentError
        If the rest cannot be read, or the table has no such column.
    """
    good = 0
    first: Problem | None = None
    for row in _rows(file, kind, settings.text_field):
        try:
            document = _document(row, name, settings)
        except ContentError as error:
            first = first or Problem(row.place, str(error))
            drops.add(str(error), f"{name}, {row.place}")
            continue
        good += 1
        yield document
    if not good and first is None:
        raise ContentError(EMPTY)
    return None if good else first


def _rows(file: io.BufferedReader, kind: Format, text_field: str) -> Iterator[Row]:
    match kind:
        case "jsonl":
            return map(_row_of_line, lines_of(file))
        case "json":
            return _json_rows(file)
        case "csv":
            return _csv_rows(file, DELIMITERS, text_field)
        case "tsv":
            return _csv_rows(file, ("\t",), text_field)
        case "parquet":
            wanted = (text_field, *OPTIONAL_FIELDS)
            rows = parquet_rows(file, text_field, wanted)
            return (Row(f"row {n}", f"R{n}", fields) for n, fields in enumerate(rows, 1))
    raise AssertionError(kind)


def _document(row: Row, name: str, settings: RowSettings) -> Document:
    if row.problem:
        raise ContentError(row.problem)
    text = _text_field(row.fields, settings.text_field)
    if text is None:
        raise ContentError(f"no field '{settings.text_field}'")
    if not text.strip():
        raise ContentError(f"field '{settings.text_field}' is empty")
    if len(text) > MAX_BYTES:
        raise ContentError(TOO_LARGE)
    if is_garbage(text, row.replaced):
        raise ContentError(BINARY)
    identity = _text_field(row.fields, "id") or row.identity
    stated = _text_field(row.fields, "licence") or _text_field(row.fields, "license") or ""
    licence, licence_from = find_licence(
        stated=stated, text=text, folder=settings.folder_licence, default=settings.licence
    )
    return new_document(
        one_line_end(text),
        source=settings.source,
        url=_text_field(row.fields, "url") or f"{name}#{identity}",
        title=_text_field(row.fields, "title") or "",
        licence=licence,
        licence_from=licence_from,
        raw=row.raw if row.raw is not None else text.encode("utf-8", "surrogatepass"),
        replaced=row.replaced,
    )


def _text_field(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if name == "id" and isinstance(value, int):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise ContentError(f"field '{name}' is not text")
    return value


def _row_of_line(line: Line) -> Row:
    place, identity = f"line {line.number}", f"L{line.number}"
    if line.raw is None:
        return Row(place, identity, {}, problem=TOO_LARGE)
    source_text, replaced = decode(line.raw)
    try:
        fields = json.loads(source_text)
    except (ValueError, RecursionError):
        return Row(place, identity, {}, problem=BROKEN_JSON)
    if not isinstance(fields, dict):
        return Row(place, identity, {}, problem=NOT_AN_OBJECT)
    return Row(place, identity, fields, line.raw, replaced)


def _json_rows(file: io.BufferedReader) -> Iterator[Row]:
    """Rows of a file that is one list; it is parsed object by object, to hold one at a time."""
    raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ContentError(TOO_LARGE)
    text, _ = decode_text(raw)
    del raw
    decoder = json.JSONDecoder()
    position = _skip_space(text, 0)
    if text[position : position + 1] != "[":
        raise ContentError(NOT_A_LIST if text.strip() else EMPTY)
    position = _skip_space(text, position + 1)
    number = 0
    while text[position : position + 1] != "]":
        number += 1
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            raise ContentError(BROKEN_JSON) from None
        problem = "" if isinstance(value, dict) else NOT_AN_OBJECT
        yield Row(f"row {number}", f"R{number}", {} if problem else value, problem=problem)
        position = _skip_space(text, position)
        if text[position : position + 1] == ",":
            position = _skip_space(text, position + 1)
        elif text[position : position + 1] != "]":
            raise ContentError(BROKEN_JSON)


def _skip_space(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\n", "\t", "\r"):
        position += 1
    return position


def _csv_rows(
    file: io.BufferedReader, delimiters: tuple[str, ...], text_field: str
) -> Iterator[Row]:
    """Rows of a table in text form; the delimiter is the one with which the header has the text."""
    csv.field_size_limit(MAX_BYTES)  # of the whole process: the module knows no other
    encoding = legacy_encoding(file.peek(SAMPLE_BYTES)[:SAMPLE_BYTES])
    lines = _text_lines(file, encoding)
    head = next(lines, "")
    if not head.strip():
        raise ContentError(EMPTY)
    delimiter, header = _header(head, delimiters, text_field)
    reader = csv.reader(lines, delimiter=delimiter)
    number = 0
    while True:
        try:
            values = next(reader, None)
        except csv.Error:
            raise ContentError(BROKEN_CSV) from None
        if values is None:
            return
        if not values:
            continue
        number += 1
        place, identity = f"row {number}", f"R{number}"
        if len(values) != len(header):
            yield Row(place, identity, {}, problem=WRONG_WIDTH)
            continue
        fields = dict(zip(header, values, strict=True))
        # An empty cell says nothing, as a missing field does; only an empty text is a problem.
        fields = {key: value for key, value in fields.items() if value or key == text_field}
        yield Row(place, identity, fields, replaced=fields[text_field].count(REPLACEMENT))


def _header(line: str, delimiters: tuple[str, ...], text_field: str) -> tuple[str, list[str]]:
    for delimiter in delimiters:
        try:
            names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
        except csv.Error:
            continue
        if text_field in names:
            return delimiter, names
    raise ContentError(f"no column '{text_field}'")


def _text_lines(file: io.BufferedReader, encoding: str) -> Iterator[str]:
    head = file.peek(4)[:4]
    for mark, marked in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if head.startswith(mark):
            encoding = marked
            break
    text = io.TextIOWrapper(file, encoding, errors="replace", newline="")
    while line := text.readline(MAX_BYTES + 1):
        if len(line) > MAX_BYTES:
            raise ContentError(TOO_LARGE)
        yield line
