"""Rows of examples: their files, the names of their fields, and what becomes of bad ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelwright.core.errors import InputError, UsageError
from modelwright.core.settings import parse_settings
from modelwright.data.drops import Drops
from modelwright.data.example_rows import OTHER_FORM, read_rows
from modelwright.data.examples import examples
from modelwright.data.settings import ExamplesSettings
from modelwright.data.shapes.fields import EMPTY, MISSING
from modelwright.data.shapes.turns import SAME_ROLE
from modelwright.data.sources.settings import JsonlExamples

USER, SAID = {"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes."}
CHAT = {"messages": [USER, SAID]}
ORIGIN = {"object": None, "source": "files:rows", "licence": "LicenseRef-unknown"}


def write(folder: Path, *rows: Any, name: str = "rows.jsonl") -> Path:
    (folder / "rows").mkdir(exist_ok=True)
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    (folder / "rows" / name).write_text(text, encoding="utf-8")
    return folder / "rows"


def rows_of(path: Path, **settings: Any) -> list[dict[str, Any]]:
    source = JsonlExamples(path=str(path), **settings)
    return [row for _, row in read_rows(source, "refuse", Drops(lambda text: None), set())]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.json.gz", "a.parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    rows = [{**CHAT, "licence": "MIT"}, {**CHAT, "licence": None, "id": 3}]
    (tmp_path / "rows").mkdir()
    path = tmp_path / "rows" / name
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    content = lines if "jsonl" in name else json.dumps(rows)
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(gzip.compress(content.encode()) if ".gz" in name else content.encode())
    assert rows_of(path.parent) == [CHAT | ORIGIN | {"licence": "MIT"}, CHAT | ORIGIN]


def test_places_count_from_one(tmp_path: Path) -> None:
    folder = write(tmp_path, CHAT, "", CHAT)
    source = JsonlExamples(path=str(folder))
    found = [where for where, _ in read_rows(source, "refuse", Drops(lambda text: None), set())]
    assert found == [f"{folder / 'rows.jsonl'}, line {number}" for number in (1, 3)]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.json", b"{}", "no list"),
        ("a.json", b"[{", "broken JSON"),
        ("a.json", b"\xff", "not UTF-8"),
        ("a.parquet", b"PAR1", "Parquet"),
        ("a.jsonl.gz", gzip.compress(b'{"messages": []}' * 9, mtime=0)[:-9], "damaged or cut off"),
        ("a.jsonl", b'{"prompt": "x", "value": NaN}', "NaN is no number"),
        ("a.jsonl", b'{"prompt": "x", "value": "\\ud800"}', "surrogate"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        rows_of(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value.where)


def test_a_parquet_row_with_what_json_cannot_hold(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["x"], "raw": [b"\x00"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="holds no JSON") as caught:
        rows_of(tmp_path / "a.parquet")
    assert "row 1" in str(caught.value.where)


def test_fields_are_taken_by_the_names_that_the_user_gives(tmp_path: Path) -> None:
    row = {"question": "Hi?", "answer": "Yes.", "messages": 3, "licence": "MIT"}
    folder = write(tmp_path, row)
    names = {"prompt": "question", "completion": "answer"}
    expected = {"prompt": "Hi?", "completion": "Yes.", **ORIGIN, "licence": "MIT"}
    assert rows_of(folder, fields=names) == [expected]
    assert rows_of(folder, fields=names, chat=True) == [CHAT | ORIGIN | {"licence": "MIT"}]
    (prompt,) = rows_of(folder, fields={"prompt": "question", "solution": "answer"}, chat=True)
    assert prompt == {"prompt": [USER], "solution": "Yes.", **ORIGIN, "licence": "MIT"}
    with pytest.raises(InputError, match="field 'reply' is missing, which 'fields' names"):
        rows_of(folder, fields={"prompt": "question", "completion": "reply"})


def test_texts_of_pairs_and_labels_can_be_chats(tmp_path: Path) -> None:
    pair = {"prompt": "Hi?", "chosen": "Yes.", "rejected": "No."}
    (row,) = rows_of(write(tmp_path, pair), chat=True)
    no = {"role": "assistant", "content": "No."}
    assert row == {"prompt": [USER], "chosen": [SAID], "rejected": [no], **ORIGIN}
    label = {"prompt": "Hi?", "completion": "Yes.", "label": True}
    (row,) = rows_of(write(tmp_path, label), chat=True)
    assert row == {"prompt": [USER], "completion": [SAID], "label": True, **ORIGIN}


def test_field_names_as_flags_give_them() -> None:
    given = {"path": "x", "fields": ["prompt=question", "completion=a=b"]}
    source = parse_settings(JsonlExamples, given, source="test")
    assert source.fields == {"prompt": "question", "completion": "a=b"}
    with pytest.raises(UsageError, match="name=field"):
        parse_settings(JsonlExamples, {"path": "x", "fields": ["prompt"]}, source="test")


BAD = [
    CHAT,
    {"messages": [USER, USER, SAID]},
    "{",
    {"messages": [USER, {**SAID, "content": " "}]},
    {"prompt": "x", "completion": ""},
    {"prompt": "x", "chosen": "y"},
    {"prompt": "x", "answer": "y"},
    {"prompt": "x", "completion": "y"},
]


def test_bad_rows_are_refused_or_counted_by_reason(tmp_path: Path, run: Any, notes: Any) -> None:
    folder = write(tmp_path, *BAD)
    settings = ExamplesSettings(sources=[str(folder)], heldout_fraction=0)
    with pytest.raises(InputError, match="the user in a row") as caught:
        run(examples, settings)
    assert f"{folder / 'rows.jsonl'}, line 2, field 'messages[1]'" in str(caught.value)
    assert "--bad-rows drop" in str(caught.value.fix)
    outcome, out = run(examples, settings.model_copy(update={"bad_rows": "drop"}))
    assert outcome.dropped == {
        SAME_ROLE.format(role="the user"): 1,
        "broken JSON": 1,
        EMPTY: 2,
        MISSING: 1,
        OTHER_FORM: 1,
    }
    assert outcome.counts["conversations"] == outcome.counts["completions"] == 1
    assert len((out / "train.jsonl").read_text().splitlines()) == 2
    assert any("rows.jsonl, line 4" in line for line in notes.lines)


def test_rows_of_another_form_need_another_file(tmp_path: Path, run: Any) -> None:
    pair = {"prompt": "x", "chosen": "y", "rejected": "z"}
    folder = write(tmp_path, CHAT, pair)
    with pytest.raises(InputError, match="this row is a preference, the first one of the file a"):
        rows_of(folder)
    write(tmp_path, CHAT)
    write(tmp_path, pair, name="pairs.jsonl")
    settings = ExamplesSettings(sources=[str(folder)], heldout_fraction=0)
    outcome, _ = run(examples, settings)
    assert outcome.counts["conversations"] == outcome.counts["preferences"] == 1


def test_fields_that_are_not_used_are_said(tmp_path: Path, run: Any, notes: Any) -> None:
    folder = write(tmp_path, {**CHAT, "tool": [], "id": 1, "empty": None})
    run(examples, ExamplesSettings(sources=[str(folder)], heldout_fraction=0))
    assert "  fields that are not used: id, tool" in notes.lines


def test_answers_to_one_prompt_are_on_one_side(tmp_path: Path, run: Any) -> None:
    rows = [
        {"prompt": f"Question {number % 20}", "chosen": f"a{number}", "rejected": "b"}
        for number in range(200)
    ]
    folder = write(tmp_path, *rows)
    _, out = run(examples, ExamplesSettings(sources=[str(folder)], heldout_fraction=0.3))
    train, held_out = (
        {json.loads(line)["prompt"] for line in (out / name).read_text().splitlines()}
        for name in ("train.jsonl", "heldout.jsonl")
    )
    assert train.isdisjoint(held_out)
    assert len(train | held_out) == 20
