"""Rows of .jsonl files, checked field by field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from modelwright.core.errors import InputError
from modelwright.data.decoding import decode
from modelwright.data.feedback.record import KINDS
from modelwright.data.jsonl import TOO_LARGE, read_lines

Checked = TypeVar("Checked")


@dataclass(frozen=True)
class FileRow:
    """One JSON object.

    Attributes
    ----------
    where : str
        File and line.
    fields : dict
        Its content.
    """

    where: str
    fields: dict[str, Any]


def rows_in(path: Path, form: str) -> Iterator[FileRow]:
    """Yield the objects of a file; ``form`` says how it should be.

    Raises
    ------
    InputError
        If there is none, or a line is no object; names file and line.
    """
    if not path.is_file():
        raise InputError("no such file", where=path, fix=f"give a .jsonl file: {form}")
    found = False
    for line in read_lines(path):
        where = f"{path}, line {line.number}"
        if line.raw is None:
            raise InputError(f"this line is {TOO_LARGE}", where=where, fix=f"write {form}")
        fields = _parsed(line.raw, where, form)
        if not isinstance(fields, dict):
            raise InputError("not a JSON object", where=where, fix=f"write {form}")
        found = True
        yield FileRow(where, fields)
    if not found:
        raise InputError("no rows here", where=path, fix=f"write {form}")


def check(row: FileRow, as_record: Callable[[dict[str, Any]], Checked], form: str) -> Checked:
    """The record that a row holds.

    Raises
    ------
    InputError
        If it is not as it should be; names file, line and field.
    """
    try:
        return as_record(row.fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    field = _field(first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    message = "is missing" if first["type"] == "missing" else message[0].lower() + message[1:]
    what = f"field '{field}': {message}" if field else message
    where = f"{row.where}, field '{field}'" if field else row.where
    raise InputError(what, where=where, fix=f"write {form}")


def _parsed(raw: bytes, where: str, form: str) -> Any:
    text, replaced = decode(raw)
    if replaced:
        raise InputError("not UTF-8", where=where, fix="save the file as UTF-8")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"broken JSON: {error}", where=where, fix=f"write {form}") from None


def _field(location: Sequence[str | int]) -> str:
    """A place in a row, as ``prompt[0].content``."""
    if location and location[0] in KINDS:  # a kind is no field: pydantic's tag for the union
        location = location[1:]
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).removeprefix(".")
