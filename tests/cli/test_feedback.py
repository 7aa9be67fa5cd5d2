"""``modelwright feedback`` in a workspace that has nothing but a recipe."""

import json
from pathlib import Path

import pytest
from tiny_workspace import write_recipe

from modelwright.core.workspace import Workspace

RECIPE = {"name": "tiny", "budget": "1 step", "collect": {"sources": ["."]}}
ROWS = [
    {"prompt": "Why?", "chosen": "yes", "rejected": "no", "chosen_model": "b",
     "rejected_model": "a", "person": "ana"},
    {"prompt": "Why?", "chosen": "yes", "rejected": "no", "chosen_model": "b",
     "rejected_model": "a", "person": "bo"},
    {"prompt": "How?", "completion": "so", "model": "a", "label": True},
    {"prompt": "How?", "completion": "so", "model": "a", "rating": 2, "scale": [1, 5], "id": 7},
    {"prompt": "When?", "completion": "now", "model": "a", "correction": "later"},
]  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return write_recipe(tmp_path / "workspace", RECIPE)


def write(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_import_export_and_stats(command, workspace: Workspace, tmp_path: Path) -> None:
    root = workspace.root
    assert "no feedback yet" in command("feedback", "stats", cwd=root).output
    file = write(tmp_path / "rows.jsonl", ROWS)
    result = command("feedback", "import", file, cwd=root)
    assert (result.exit_code, result.errors) == (0, "")
    assert result.output == "5 new\nfields that were not used: id (1 rows)\n"
    again = command("feedback", "import", file, cwd=root)
    assert again.output.startswith("0 new, 5 known already\n")

    out = tmp_path / "out.jsonl"
    result = command("feedback", "export", "--as", "pairs", str(out), cwd=root)
    assert result.output.startswith(f"3 rows in {out}\nleft out: a rating has no such row: 1; ")
    assert {row["chosen"][0]["content"] for row in read(out)} == {"yes", "later"}
    command("feedback", "export", "--as", "labels", str(out), cwd=root)
    assert sorted(row["label"] for row in read(out)) == [False, True]
    command("feedback", "export", "--as", "labels", "--threshold", "0.2", str(out), cwd=root)
    assert [row["label"] for row in read(out)] == [True, True]
    command("feedback", "export", "--as", "corrections", str(out), cwd=root)
    assert [row["messages"][-1]["content"] for row in read(out)] == ["later"]

    shown = command("feedback", "stats", cwd=root).output
    assert "a against b: wins 0 % (95 % interval 0 % to 66 %); 0 to 2" in shown
    assert "agreement of ana and bo on 1 pairs: kappa not defined" in shown
    summary = json.loads(command("feedback", "stats", "--json", cwd=root).output)
    assert summary["kinds"] == {"choice": 2, "correction": 1, "rating": 1, "thumb": 1}


def test_everything_goes_into_another_workspace(
    command, workspace: Workspace, tmp_path: Path
) -> None:
    other = write_recipe(tmp_path / "other", RECIPE)
    command("feedback", "import", write(tmp_path / "rows.jsonl", ROWS), cwd=workspace.root)
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    command("feedback", "export", "--as", "all", str(first), cwd=workspace.root)
    assert command("feedback", "import", str(first), cwd=other.root).output == "5 new\n"
    command("feedback", "export", "--as", "all", str(second), cwd=other.root)
    assert first.read_bytes() == second.read_bytes()


def test_a_bad_row_keeps_everything_out(command, workspace: Workspace, tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", [*ROWS, {"prompt": "Why?", "chosen": "yes"}])
    result = command("feedback", "import", file, cwd=workspace.root)
    assert result.exit_code == 1
    assert f"where: {file}, line 6, field 'rejected'" in result.errors
    assert "to do: write one JSON object to a line" in result.errors
    assert "no feedback yet" in command("feedback", "stats", cwd=workspace.root).output


def test_nothing_to_export(command, workspace: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    command("feedback", "import", write(tmp_path / "r.jsonl", ROWS[2:3]), cwd=workspace.root)
    result = command("feedback", "export", "--as", "pairs", str(out), cwd=workspace.root)
    assert result.exit_code == 1
    assert "no feedback to export as pairs (a thumb has no such row: 1)" in result.errors
    assert not out.exists()


def test_wrong_use(command, workspace: Workspace, tmp_path: Path) -> None:
    assert command("feedback", "export", "x.jsonl", cwd=workspace.root).exit_code == 2
    assert command("feedback", "import", "missing.jsonl", cwd=workspace.root).exit_code == 1
    file = write(tmp_path / "rows.jsonl", ROWS)
    named = command("feedback", "import", file, "--person", "a\nb", cwd=workspace.root)
    assert named.exit_code == 2
    assert "a name must be one line" in named.errors
    outside = command("feedback", "stats", cwd=tmp_path)
    assert outside.exit_code == 2
    assert "no workspace here" in outside.errors
