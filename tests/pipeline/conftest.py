from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_stages
import pytest
from fake_stages import FAKE_STAGES, Script
from tiny_workspace import finished_workspace, write_recipe

from modelwright.core.artifact import Artifact
from modelwright.core.progress import SilentProgress
from modelwright.core.workspace import Workspace
from modelwright.pipeline import stages
from modelwright.pipeline.recipe import Recipe, load_recipe
from modelwright.pipeline.runner import run_recipe


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with real artifacts; only to be read."""
    return finished_workspace(tmp_path_factory.getbasetemp())


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """What the fake stages do in this test."""
    fresh = Script()
    monkeypatch.setattr(fake_stages, "script", fresh)
    return fresh


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The file that the fake collect stage reads."""
    path = tmp_path / "source.txt"
    path.write_text("A model learns a language")
    return path


@pytest.fixture
def workspace(
    tmp_path: Path, source: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    """A workspace whose recipe is run by the fake stages."""
    monkeypatch.setattr(stages, "STAGES", FAKE_STAGES)
    return write_recipe(tmp_path / "workspace", {"collect": {"sources": [str(source)]}})


Load = Callable[..., Recipe]


@pytest.fixture
def recipe(workspace: Workspace) -> Load:
    """The recipe, with these parts changed."""

    def load(**changes: Any) -> Recipe:
        return load_recipe(workspace.recipe, changes)

    return load


@pytest.fixture
def run(workspace: Workspace, recipe: Load) -> Callable[..., list[Artifact]]:
    """Run the recipe, with these parts changed."""

    def run_changed(until: str | None = None, **changes: Any) -> list[Artifact]:
        with workspace.lock():
            return run_recipe(recipe(**changes), workspace, SilentProgress(), until)

    return run_changed
