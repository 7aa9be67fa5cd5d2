"""Logs that grow while someone works: JSONL files whose last line may be cut off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelwright.core.files import write_text

Row = dict[str, Any]


def append_row(path: Path, step: int, values: Mapping[str, Any]) -> None:
    """Append one row."""
    with open(path, "a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps({"step": step, **values}) + "\n")


def forget_rows_after(path: Path, step: int) -> None:
    """Remove what a run wrote after the step that it goes on from; makes the file."""
    kept = [row for row in whole_rows(path) if row["step"] <= step]
    write_text(path, "".join(json.dumps(row) + "\n" for row in kept))


def whole_rows(path: Path) -> list[Row]:
    """All rows up to one that is cut off; none if there is no file."""
    if not path.is_file():
        return []
    rows = list[Row]()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if not isinstance(row, dict):  # a number that was the beginning of nothing of ours
            break
        rows.append(row)
    return rows
