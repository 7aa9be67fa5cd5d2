"""Rows of conversations and completions in the user's .jsonl files, checked field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelwright.core.conversation import ROLES
from modelwright.core.errors import InputError
from modelwright.data.decoding import decode, replace_surrogates
from modelwright.data.drops import Drops
from modelwright.data.folder import find_files, fingerprint_files
from modelwright.data.jsonl import TOO_LARGE, read_lines
from modelwright.data.sources.settings import JsonlExamples

TRAIN, HELD_OUT = "train.jsonl", "heldout.jsonl"
"""The files of an examples artifact."""

SUFFIX = ".jsonl"
FORMS = (
    'one JSON object to a line: {"messages": [{"role": "user", "content": ...}, '
    '{"role": "assistant", "content": ...}]} or {"prompt": ..., "completion": ...}'
)

Row = dict[str, Any]


def read_rows(settings: JsonlExamples, drops: Drops) -> Iterator[Row]:
    """Yield the rows of a file, or of the .jsonl files of a folder in the order of their paths.

    Each has ``messages`` or ``prompt`` and ``completion``, and ``object``, ``source``, ``licence``.

    Raises
    ------
    InputError
        If there is no row, or one is not as it should be; names file, line and field.
    """
    root = Path(settings.path)
    found = False
    for path in example_files(settings, drops):
        for line in read_lines(path):
            where = f"{path}, line {line.number}"
            if line.raw is None:
                raise InputError(f"this line is {TOO_LARGE}", where=where, fix=f"write {FORMS}")
            row = check_row(_parse(line.raw, where), where)
            row.setdefault("source", f"files:{root.name}")
            row.setdefault("licence", settings.licence)
            found = True
            yield row
    if not found:
        raise InputError("no examples here", where=root, fix=f"write {FORMS}")


def read_examples(path: Path) -> Iterator[Row]:
    """Yield the rows of one file of an examples artifact as they are.

    Raises
    ------
    InputError
        If one is no JSON object.
    """
    for line in read_lines(path):
        where = f"{path}, line {line.number}"
        row = None if line.raw is None else _parse(line.raw, where)
        if not isinstance(row, dict):
            raise InputError("not a JSON object", where=where, fix=f"write {FORMS}")
        yield row


def example_files(settings: JsonlExamples, drops: Drops) -> list[Path]:
    """The .jsonl files that a source names; other files are counted as dropped.

    Raises
    ------
    InputError
        If there is nothing at its path, or no .jsonl file.
    """
    root = Path(settings.path)
    paths = []
    for path in find_files(root, drops):
        if path.suffix.lower() == SUFFIX:
            paths.append(path)
        else:
            drops.add(f"unknown file type: {path.suffix.lower() or 'no extension'}")
    if not paths:
        raise InputError(
            f"no {SUFFIX} file here", where=root, fix=f"give a {SUFFIX} file with {FORMS}"
        )
    return paths


def fingerprint_rows(settings: JsonlExamples) -> list[list[str | int]]:
    """Relative name, size and time of change of each file."""
    paths = example_files(settings, Drops(lambda text: None))
    return fingerprint_files(paths, Path(settings.path))


def check_row(row: Any, where: str) -> Row:
    """Take over the fields of a row that training knows.

    Raises
    ------
    InputError
        If a field is missing, empty or of a wrong type.
    """
    if not isinstance(row, dict):
        raise InputError("not a JSON object", where=where, fix=f"write {FORMS}")
    checked: Row
    if "messages" in row:
        checked = {"messages": _check_messages(row["messages"], where)}
    elif "prompt" in row or "completion" in row:
        checked = {name: _check_text(row, name, where) for name in ("prompt", "completion")}
    else:
        fields = ", ".join(f"'{name}'" for name in row) or "nothing"
        raise InputError(
            f"neither 'messages' nor 'prompt' and 'completion', but {fields}",
            where=where,
            fix=f"write {FORMS}",
        )
    checked["object"] = None
    for name in ("object", "source", "licence"):
        if row.get(name) is not None:
            checked[name] = _check_text(row, name, where)
    return checked


def _check_messages(messages: Any, where: str) -> list[dict[str, str]]:
    if not isinstance(messages, list) or not messages:
        raise _wrong("messages", "is not a list of messages", where)
    checked = []
    for number, message in enumerate(messages):
        name = f"messages[{number}]"
        if not isinstance(message, dict):
            raise _wrong(name, "is not an object with 'role' and 'content'", where)
        role = _check_text(message, "role", where, prefix=f"{name}.")
        if role not in ROLES:
            raise _wrong(f"{name}.role", f"is '{role}', not one of {', '.join(ROLES)}", where)
        content = _check_text(message, "content", where, prefix=f"{name}.")
        checked.append({"role": role, "content": content})
    if all(message["role"] != "assistant" for message in checked):
        raise _wrong("messages", "holds no answer of the assistant to learn from", where)
    return checked


def _check_text(row: Row, name: str, where: str, prefix: str = "") -> str:
    if name not in row:
        raise _wrong(prefix + name, "is missing", where)
    value = row[name]
    if not isinstance(value, str):
        raise _wrong(prefix + name, f"is {type(value).__name__}, not text", where)
    if not value.strip():
        raise _wrong(prefix + name, "is empty", where)
    if replace_surrogates(value)[1]:
        raise _wrong(prefix + name, "holds half of a surrogate pair, which is no character", where)
    return value


def _wrong(name: str, problem: str, where: str) -> InputError:
    return InputError(
        f"field '{name}' {problem}", where=f"{where}, field '{name}'", fix=f"write {FORMS}"
    )


def _parse(raw: bytes, where: str) -> Any:
    text, replaced = decode(raw)
    if replaced:
        raise InputError("not UTF-8", where=where, fix="save the file as UTF-8")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"broken JSON: {error}", where=where, fix=f"write {FORMS}") from None
