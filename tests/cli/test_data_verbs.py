"""``modelwright data``: report, look and classifier."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Command
from surveyed import make_run

from modelwright.core.workspace import Workspace


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    return folder


def test_a_report_of_two_folders(command: Command, folder: Path, tmp_path: Path) -> None:
    annotated, prepared = str(folder / "annotate-1"), str(folder / "prepare-1")
    result = command("data", "report", "--annotated", annotated, "--prepared", prepared, "--quiet")
    assert result.exit_code == 0, result.errors
    page = tmp_path / "data-report.html"
    assert result.output.strip() == str(page)
    assert "prepare-1: the data" in page.read_text(encoding="utf-8")


def test_a_report_of_a_workspace(command: Command, copied: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    result = command("data", "report", str(copied.root), "--out", str(out), "--quiet")
    assert result.exit_code == 0, result.errors
    assert "<h1>tiny: the data</h1>" in out.read_text(encoding="utf-8")
    result = command("data", "report", "--quiet", cwd=copied.root)
    assert result.output.strip() == str(copied.root / "data-report.html")
    assert Path(result.output.strip()).read_bytes() == out.read_bytes()


def test_what_a_report_cannot_be_made_of(command: Command, folder: Path, tmp_path: Path) -> None:
    one = str(folder / "annotate-1")
    for arguments in (["--annotated", one], ["--prepared", one]):
        result = command("data", "report", *arguments)
        assert result.exit_code == 2
        assert "both --annotated" in result.errors
    result = command("data", "report", "--annotated", one, "--prepared", one)
    assert result.exit_code == 1
    assert "made by 'annotate'" in result.errors
    result = command("data", "report")
    assert result.exit_code == 2
    assert "no workspace here" in result.errors


def test_look_prints_what_fits(command: Command, folder: Path) -> None:
    corpus = ("--corpus", str(folder / "annotate-1"))
    result = command("data", "look", "end of it", *corpus)
    assert result.exit_code == 0, result.errors
    assert "page/32" in result.output
    assert "words=" in result.output
    assert "no document fits" in command("data", "look", "nowhere at all", *corpus).output
    few = command("data", "look", *corpus, "--where", "words > 50", "--limit", "2").output
    assert "and more; see --limit (now 2)" in few
    assert "gopher" not in few
    columns = command("data", "look", *corpus, "--columns").output.split()
    assert "words" in columns
    assert "text" not in columns
    wrong = command("data", "look", *corpus, "--where", "nothing > 5")
    assert wrong.exit_code == 2


def test_help_of_all_verbs(command: Command) -> None:
    for verb in ("report", "look", "classifier"):
        result = command("data", verb, "--help")
        assert result.exit_code == 0
        assert "Usage" in result.output
