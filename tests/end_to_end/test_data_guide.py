"""The guide to data: its recipes are recipes, its names are real, its main commands are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from modelwright.core.artifact import read_manifest
from modelwright.core.settings import parse_settings
from modelwright.data.collect import reader_of
from modelwright.data.corpus import DOCUMENT_COLUMNS, read_documents
from modelwright.data.preparation.reasons import read_opt_out
from modelwright.data.rules.table import FAMILIES
from modelwright.data.settings import SCORES
from modelwright.data.sources.settings import Source
from modelwright.pipeline.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
FORMATS = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def recipe_of(snippet: str) -> Recipe:
    """The snippet as part of a recipe that has all that must be there."""
    data = {"collect": {"sources": ["python-docs"]}, **yaml.safe_load(snippet)}
    return parse_settings(Recipe, data, source="docs/data.md")


@pytest.mark.parametrize("snippet", snippets("yaml"))
def test_every_recipe_is_one(snippet: str) -> None:
    for source in recipe_of(snippet).collect.sources:
        assert reader_of(source).name


def test_every_kind_of_source_is_shown() -> None:
    shown = {one.kind for text in snippets("yaml") for one in recipe_of(text).collect.sources}
    schema = TypeAdapter(Source).json_schema()
    assert shown == set(schema["discriminator"]["mapping"])


def test_what_it_calls_the_defaults_are_the_defaults() -> None:
    (snippet,) = [one for one in snippets("yaml") if "scores:" in one]
    default = recipe_of("{}")
    assert recipe_of(snippet).annotate == default.annotate
    assert recipe_of(snippet).annotate.scores == list(SCORES)
    assert all(f"`{family}`" in GUIDE for family in FAMILIES)


def test_the_opt_out_list_is_one(tmp_path: Path) -> None:
    (text,) = snippets("text")
    (tmp_path / "list").write_text(text, encoding="utf-8")
    opt_out = read_opt_out(tmp_path / "list")
    assert opt_out.ids == {"0df4771ce3d607f0"}
    assert opt_out.urls


def test_every_column_is_described() -> None:
    assert [name for name in DOCUMENT_COLUMNS if f"`{name}`" not in FORMATS] == []


def test_its_commands_work_one_after_the_other(tmp_path: Path) -> None:
    for name, sentence in (
        ("good", "The cat {} sat on the mat and had {} mice."),
        ("bad", "@#{} {}"),
    ):
        (tmp_path / name).mkdir()
        for number in range(25):
            text = sentence.format(number, number * 7) + f" Word{number} " * (number + 9)
            (tmp_path / name / f"{number}.txt").write_text(text, encoding="utf-8")
    recipe = {
        "collect": {"sources": ["../good", "../bad"]},
        "annotate": {"quality_model": "../quality", "workers": 1},
        "prepare": {"min_quality": 0.5, "workers": 1},
    }
    workspace = tmp_path / "ws"
    workspace.mkdir()
    (workspace / "modelwright.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")

    def run(command: str, folder: Path = workspace) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "modelwright", *command.split()],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, (command, result.stderr)
        return result.stdout

    assert "AUC" in run("data classifier good bad --out quality", tmp_path)
    run("run --until prepare --quiet")
    (prepared,) = (workspace / "artifacts").glob("prepare-*")
    assert read_manifest(prepared).dropped["low quality"] >= 20
    assert {one.source for one in read_documents(prepared)} == {"files:good"}
    assert "quality=" in run("data look cat --limit 1")
    assert "language_score" in run("data look --columns")
    run("data report --no-open")
