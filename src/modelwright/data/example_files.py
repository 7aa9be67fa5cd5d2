"""Files with rows of examples: which there are, and their rows as they stand."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from modelwright.core.errors import InputError
from modelwright.data.decoding import decode
from modelwright.data.drops import Drops
from modelwright.data.folder import find_files, fingerprint_files
from modelwright.data.jsonl import MAX_BYTES, TOO_LARGE, Line, lines_of
from modelwright.data.shapes.fields import WRONG_TYPE, BadRowError
from modelwright.data.sources.file_types import FileType, file_type, type_in_words
from modelwright.data.sources.streams import EXPANSION_LIMITS, ContentError, decompressed

READ = ("jsonl", "json", "parquet")
ENDINGS = ".jsonl, .json or .parquet, compressed too"


@dataclass(frozen=True)
class RawRow:
    """A row before anything of it is believed.

    Attributes
    ----------
    where : str
        File and line (or row of a table), for errors.
    value : Any
        What it holds.
    problem : BadRowError or None
        Why it cannot be read.
    """

    where: str
    value: Any = None
    problem: BadRowError | None = None


def example_files(root: Path, drops: Drops) -> list[Path]:
    """The files with rows at a path; other files are counted as dropped.

    Raises
    ------
    InputError
        If there is nothing, or no file with rows.
    """
    paths = []
    for path in find_files(root, drops):
        kind = file_type(path.name)
        if kind.format in READ and kind.container is None:
            paths.append(path)
        else:
            drops.add(type_in_words(kind))
    if not paths:
        raise InputError("no .jsonl file here", where=root, fix=f"give {ENDINGS}")
    return paths


def fingerprint_rows(root: Path) -> list[list[str | int]]:
    """Relative name, size and time of change of each file."""
    return fingerprint_files(example_files(root, Drops(lambda text: None)), root)


def raw_rows(path: Path) -> Iterator[RawRow]:
    """Yield the rows of a file.

    Raises
    ------
    InputError
        If the file, or what is left of it, cannot be read.
    """
    kind = file_type(path.name)
    try:
        with open(path, "rb") as file:
            if kind.format == "parquet":
                yield from _parquet_rows(path)
                return
            content = _decompressed(file, kind, path.stat().st_size)
            yield from _list_rows(content, path) if kind.format == "json" else _lines(content, path)
    except ContentError as error:
        raise InputError(str(error), where=path, fix="get the file anew") from None


def _decompressed(file: io.BufferedReader, kind: FileType, size: int) -> io.BufferedReader:
    if kind.compression is None:
        return file
    return decompressed(file, kind.compression, EXPANSION_LIMITS.budget(size))


def _lines(content: io.BufferedReader, path: Path) -> Iterator[RawRow]:
    return (_row_of_line(line, f"{path}, line {line.number}") for line in lines_of(content))


def _row_of_line(line: Line, where: str) -> RawRow:
    if line.raw is None:
        return RawRow(where, problem=BadRowError("a line that is too large", problem=TOO_LARGE))
    text, replaced = decode(line.raw)
    if replaced:
        return RawRow(where, problem=BadRowError("not UTF-8"))
    try:
        return RawRow(where, json.loads(text, parse_constant=_refuse))
    except (ValueError, RecursionError) as error:
        return RawRow(where, problem=BadRowError("broken JSON", problem=f"broken JSON: {error}"))


def _list_rows(content: io.BufferedReader, path: Path) -> Iterator[RawRow]:
    """Rows of a file that is one JSON list, as Alpaca's and ShareGPT's data are kept."""
    raw = content.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise InputError(
            f"a JSON list {TOO_LARGE}", where=path, fix="write one object a line, as .jsonl"
        )
    text, replaced = decode(raw)
    if replaced:
        raise InputError("not UTF-8", where=path, fix="save the file as UTF-8")
    try:
        rows = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"broken JSON: {error}", where=path, fix="write a list of objects"
        ) from None
    if not isinstance(rows, list):
        raise InputError("JSON that is no list", where=path, fix="write a list of objects")
    return (RawRow(f"{path}, row {number}", row) for number, row in enumerate(rows, 1))


def _parquet_rows(path: Path) -> Iterator[RawRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False) as table:
            number = 0
            for batch in table.iter_batches(64):
                for row in batch.to_pylist():
                    number += 1
                    yield _row_of_table(row, f"{path}, row {number}")
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(
            f"the Parquet file cannot be read: {error}", where=path, fix="get the file anew"
        ) from None


def _row_of_table(row: dict[str, Any], where: str) -> RawRow:
    try:
        return RawRow(where, json.loads(json.dumps(row, allow_nan=False)))
    except (TypeError, ValueError) as error:
        return RawRow(where, problem=BadRowError(WRONG_TYPE, problem=f"holds no JSON: {error}"))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")
