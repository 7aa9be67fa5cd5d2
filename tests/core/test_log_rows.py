"""Logs whose writer was killed in the middle of a line."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.log_rows import append_row, forget_rows_after, whole_rows

VALUES = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.text())


@given(st.lists(VALUES, max_size=6), st.data())
def test_however_it_is_cut_the_whole_rows_are_there(
    tmp_path_factory: object, values: list[float | str], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "rows.jsonl"  # type: ignore[attr-defined]
    wanted = [{"step": step, "value": value} for step, value in enumerate(values)]
    for row in wanted:
        append_row(path, row["step"], {"value": row["value"]})
    whole = path.read_bytes() if values else b""
    kept = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:kept])
    ends = [len(json.dumps(row)) for row in wanted]
    complete = sum(kept >= sum(ends[: number + 1]) + number for number in range(len(ends)))
    assert whole_rows(path) == wanted[:complete]


def test_later_rows_are_forgotten_and_the_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert whole_rows(path) == []
    forget_rows_after(path, 3)
    assert path.read_text() == ""
    for step in (1, 3, 5):
        append_row(path, step, {"loss": 1.0})
    forget_rows_after(path, 3)
    assert [row["step"] for row in whole_rows(path)] == [1, 3]


def test_a_row_that_is_no_object_ends_the_log(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 1}\n5\n{"step": 2}\n')
    assert whole_rows(path) == [{"step": 1}]
