from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_workspace import finished_workspace

from modelwright.cli.main import main
from modelwright.core.workspace import Workspace


@dataclass(frozen=True)
class Result:
    """What a command printed, and its exit code."""

    exit_code: int
    output: str
    errors: str


Command = Callable[..., Result]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """Run the command in this process, in a folder; what is not an exit code is a failure."""

    def run(*arguments: str, cwd: Path = tmp_path) -> Result:
        monkeypatch.setattr(sys, "argv", ["modelwright", *arguments])
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        exit_code = 0
        try:
            main()
        except SystemExit as stop:
            exit_code = int(stop.code or 0)
        output, errors = capsys.readouterr()
        return Result(exit_code, output, errors)

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with real artifacts; only to be read."""
    return finished_workspace(tmp_path_factory.getbasetemp())


@pytest.fixture
def copied(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished workspace, to change."""
    shutil.copytree(finished.root, tmp_path / "copied")
    return Workspace(tmp_path / "copied")
