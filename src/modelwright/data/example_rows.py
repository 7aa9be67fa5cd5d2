"""Rows of examples in the user's files: recognised, checked, and brought into one of five forms."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelwright.core.conversation import Role
from modelwright.core.errors import InputError
from modelwright.core.examples import ORIGIN, TO_FINETUNE, Form, Row, Texts, form_of
from modelwright.data.drops import Drops
from modelwright.data.example_files import RawRow, example_files, raw_rows
from modelwright.data.shapes.fields import HALF_CHARACTER, MISSING, BadRowError, checked_text
from modelwright.data.shapes.table import recognise
from modelwright.data.sources.settings import BadRows, JsonlExamples

OTHER_FORM = "a row of another form than the first of its file"
EXAMPLE = (
    'one JSON object to a line, for example {"messages": [{"role": "user", "content": ...}, '
    '{"role": "assistant", "content": ...}]} or {"prompt": ..., "completion": ...}; '
    "docs/examples.md shows all shapes"
)


def read_rows(
    source: JsonlExamples, bad_rows: BadRows, drops: Drops, unused: set[str]
) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a file, or of the files of a folder in the order of their paths.

    Each comes with its place: file and line.

    Parameters
    ----------
    source : JsonlExamples
        Where they are, and how they are to be taken.
    bad_rows : {"refuse", "drop"}
        Whether one bad row ends it all, or is counted.
    drops : Drops
        Where to count.
    unused : set of str
        Gets the names of fields that are not taken over.

    Raises
    ------
    InputError
        If there is no row, or one is not as it should be; names file, line and field.
    """
    root = Path(source.path)
    found = False
    for path in example_files(root, drops):
        first: Form | None = None
        for raw in raw_rows(path):
            try:
                row = read_row(raw, source, unused)
                form = form_of(row)
                _check_form(form, first)
            except BadRowError as error:
                if bad_rows == "refuse":
                    raise _refused(error, raw.where) from None
                drops.add(error.reason, raw.where)
                continue
            first = first or form
            row.setdefault("source", f"files:{root.name}")
            row.setdefault("licence", source.licence)
            found = True
            yield raw.where, row
    if not found:
        raise InputError("no examples here", where=root, fix=f"write {EXAMPLE}")


def read_row(raw: RawRow, source: JsonlExamples, unused: set[str]) -> Row:
    """One row in the form that it has.

    Raises
    ------
    BadRowError
        If it is not as it should be.
    """
    if raw.problem is not None:
        raise raw.problem
    if not isinstance(raw.value, dict):
        raise BadRowError("not a JSON object")
    given = _picked(raw.value, source.fields) if source.fields else raw.value
    return shaped(given, source.chat, unused)


def shaped(given: Mapping[str, Any], chat: bool, unused: set[str]) -> Row:
    """The fields of a row in the form that they have.

    Parameters
    ----------
    given : mapping of str to Any
        Fields that are null are not there.
    chat : bool
        Whether texts of prompts and answers are what user and assistant say.
    unused : set of str
        Gets the names of fields that are not taken over.

    Raises
    ------
    BadRowError
        If it is not as it should be.
    """
    given = {name: value for name, value in given.items() if value is not None}
    shape = recognise(given.keys())
    row = shape.read(given)
    if chat:
        row = as_chat(row)
    row["object"] = None
    for name in ORIGIN:
        if name in given:
            row[name] = checked_text(given[name], name)
    _check_characters(row)
    if not shape.keeps_others:
        unused |= given.keys() - shape.keys - shape.optional - set(ORIGIN)
    return row


def _picked(value: Mapping[str, Any], fields: Mapping[str, str]) -> Row:
    """The fields that the user names, under our names, and the origin."""
    for name in fields.values():
        if name not in value:
            raise BadRowError(MISSING, name, "is missing, which 'fields' names")
    origin = {name: value[name] for name in ORIGIN if name in value}
    return origin | {ours: value[theirs] for ours, theirs in fields.items()}


def as_chat(row: Row) -> Row:
    """A row with texts as what the user and the assistant say; one with messages as it is."""
    texts = {name: row[name] for name in _SAID_BY if isinstance(row.get(name), str)}
    said: dict[str, Texts] = {
        name: [{"role": _SAID_BY[name], "content": text}] for name, text in texts.items()
    }
    if said and form_of(row) == "completion":
        others = {name: value for name, value in row.items() if name not in said}
        return {"messages": [*said["prompt"], *said["completion"]], **others}
    return row | said


_SAID_BY: dict[str, Role] = {
    "prompt": "user",
    "completion": "assistant",
    "chosen": "assistant",
    "rejected": "assistant",
}


def _check_form(form: Form | None, first: Form | None) -> None:
    """Rows of one file teach one thing: an odd one is a misspelt field rather than meant."""
    if first is None or form == first or {form, first} <= set(TO_FINETUNE):
        return
    raise BadRowError(
        OTHER_FORM, problem=f"this row is a {form}, the first one of the file a {first}"
    )


def _check_characters(row: Row) -> None:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadRowError(
            HALF_CHARACTER, problem="holds half of a surrogate pair, which is no character"
        ) from None


def _refused(error: BadRowError, where: str) -> InputError:
    what = f"field '{error.field}' {error.problem}" if error.field else error.problem
    place = f"{where}, field '{error.field}'" if error.field else where
    fix = f"write {EXAMPLE}; or leave bad rows out and count them with --bad-rows drop"
    return InputError(what, where=place, fix=fix)
