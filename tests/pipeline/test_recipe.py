from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_workspace import write_recipe

from modelwright.core.errors import UsageError
from modelwright.data.sources.settings import FilesSource, PythonDocsSource
from modelwright.pipeline.recipe import Recipe, load_recipe, merge, to_yaml

SOURCES = {"collect": {"sources": ["python-docs"]}}


def load(folder: Path, text: str, overrides: dict[str, Any] | None = None) -> Recipe:
    path = folder / "modelwright.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path, overrides)


def refusal(folder: Path, text: str, overrides: dict[str, Any] | None = None) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load(folder, text, overrides)
    assert caught.value.exit_code == 2
    return caught.value


def test_paths_are_relative_to_the_recipe_and_not_to_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    text = (
        "collect:\n  sources: [docs, ../up.txt, /abs/olute, ~/home.txt, python-docs]\n"
        "examples:\n  sources: [{path: ex.jsonl, licence: MIT}]\n"
    )
    recipe = load(tmp_path, text)
    paths = [source.path for source in recipe.collect.sources if isinstance(source, FilesSource)]
    assert paths == [
        str(tmp_path / "docs"),
        str(tmp_path.parent / "up.txt"),
        "/abs/olute",
        str(Path("~/home.txt").expanduser()),
    ]
    assert isinstance(recipe.collect.sources[4], PythonDocsSource)
    assert recipe.examples.sources[0].path == str(tmp_path / "ex.jsonl")


@pytest.mark.parametrize(
    ("text", "line", "wrong", "right"),
    [
        ("nmae: x\ncollect: {sources: [a]}\n", 1, "nmae", "name"),
        ("collect:\n  sources: [a]\npretrian:\n  layers: 1\n", 3, "pretrian", "pretrain"),
        ("collect:\n  source: [a]\n", 2, "collect.source", "sources"),
        (
            "collect:\n  sources:\n  - a\n  - path: b\n    licens: MIT\n",
            5,
            "collect.sources.1.licens",
            "licence",
        ),
        (
            "collect: {sources: [a]}\nexamples:\n  sources:\n    - pathh: b\n",
            4,
            "examples.sources.0.pathh",
            "path",
        ),
        (
            "collect: {sources: [a]}\npretrain: {layers: 1,\n  kv_head: 2}\n",
            3,
            "pretrain.kv_head",
            "kv_heads",
        ),
    ],
)
def test_an_unknown_key_at_any_depth_has_its_line_and_the_nearest_name(
    tmp_path: Path, text: str, line: int, wrong: str, right: str
) -> None:
    said = str(refusal(tmp_path, text))
    assert f"line {line}: unknown setting '{wrong}'; did you mean '{right}'?" in said
    assert str(tmp_path / "modelwright.yaml") in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'collect' is missing"),
        ("name: x\n", "'collect' is missing"),
        ("- a\n", "the settings: "),
        ("collect: {sources: []}\n", "line 1: 'collect.sources': name at least one source"),
        ("collect: {sources: [a]}\nbudget: soon\n", "line 2: 'budget': 'soon' is no budget"),
        ("collect:\n  sources:\n  - {licence: MIT}\n", "line 3: 'collect.sources.0.path' is"),
        ("collect:\n  sources:\n  - kind: fiels\n", "did you mean 'files'?"),
        (
            "collect: {sources: [a]}\npretrain:\n  optimizer: moun\n",
            "line 3: 'pretrain.optimizer': Input should be 'muon' or 'adamw' (got 'moun'); "
            "did you mean 'muon'?",
        ),
        (
            "collect: {sources: [a]}\npretrain: {layers: 1}\npretrain: {layers: 2}\n",
            "line 3: 'pretrain' stands in line 2 already",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in str(refusal(tmp_path, text))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = "collect: {sources: [a]}\nnmae: x\npretrain: {layers: 0}\nshards: {seed: 1}\n"
    assert len(refusal(tmp_path, text).what.splitlines()) == 3


def test_flags_win_over_the_file_and_leave_the_rest(tmp_path: Path) -> None:
    text = "collect: {sources: [a]}\npretrain:\n  layers: 2\n  hidden_size: 128\nname: x\n"
    overrides = {"name": "y", "pretrain": {"layers": "4"}, "finetune": {"seed": "3"}}
    recipe = load(tmp_path, text, overrides)
    assert (recipe.name, recipe.finetune.seed) == ("y", 3)
    assert (recipe.pretrain.layers, recipe.pretrain.hidden_size) == (4, 128)


def test_a_wrong_flag_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    text = "collect: {sources: [a]}\npretrain: {layers: 2}\n"
    error = refusal(tmp_path, text, {"pretrain": {"layers": "many"}})
    assert error.where == "the command line"
    assert "line" not in error.what


def test_merging_changes_neither_of_the_two() -> None:
    base, changes = {"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3}, "d": [2], "e": None}
    assert merge(base, changes) == {"a": {"b": 3, "c": 2}, "d": [2], "e": None}
    assert base == {"a": {"b": 1, "c": 2}, "d": [1]}
    assert changes == {"a": {"b": 3}, "d": [2], "e": None}
    assert merge({"a": 1}, {"a": {"b": 2}}) == {"a": {"b": 2}}


def test_the_settings_in_full_are_a_recipe_again(tmp_path: Path) -> None:
    workspace = write_recipe(
        tmp_path, {"name": "modèle “1”", **SOURCES, "pretrain": {"kv_heads": 1}}
    )
    recipe = load_recipe(workspace.recipe)
    written = to_yaml(recipe)
    assert load(tmp_path, written) == recipe
    assert set(yaml.safe_load(written)) == set(Recipe.model_fields)
