from pathlib import Path

import pytest
import yaml
from tiny_workspace import contents

from modelwright.core.workspace import RECIPE
from modelwright.pipeline.recipe import load_recipe


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("A text of some words.")
    return path


def test_the_recipe_is_valid_and_says_where_to_go(command, tmp_path: Path, text: Path) -> None:
    result = command("init", "mine", "--source", str(text), "--budget", "7 minutes")
    assert result.exit_code == 0
    assert result.output == "wrote mine/modelwright.yaml\nnext: cd mine && modelwright run\n"
    recipe = load_recipe(tmp_path / "mine" / RECIPE)
    assert (recipe.name, recipe.budget) == ("mine", "7 minutes")
    assert recipe.collect.sources[0].path == str(text)
    assert recipe.examples.sources == []


def test_without_a_source_it_is_the_python_documentation(command, tmp_path: Path) -> None:
    assert command("init").exit_code == 0
    recipe = load_recipe(tmp_path / RECIPE)
    assert recipe.name == tmp_path.name
    assert recipe.collect.sources[0].kind == "python-docs"
    assert recipe.examples.sources[0].kind == "python-docs"


def test_an_existing_recipe_is_kept(command, tmp_path: Path) -> None:
    command("init", "mine")
    before = contents(tmp_path)
    result = command("init", "mine", "--budget", "1 minute")
    assert result.exit_code == 2
    assert "a recipe here already" in result.errors
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "name",
    ["with spaces", "ünïcode 你好", 'it\'s "quoted"', "{braces}", "a: b # c", "-leading", "100"],
)
def test_any_name_of_a_folder_will_do(command, tmp_path: Path, name: str) -> None:
    sources = tmp_path / name / "texts"
    sources.mkdir(parents=True)
    (sources / "a.txt").write_text("words")
    folder = tmp_path / name / "work"
    result = command("init", str(folder), "--source", str(sources), "--name", name)
    assert result.exit_code == 0, result.errors
    recipe = load_recipe(folder / RECIPE)
    assert recipe.name == name
    assert recipe.collect.sources[0].path == str(sources)
    plan = command("run", "--dry-run", cwd=folder)
    assert plan.exit_code == 0
    assert "collect    stale  not made yet" in plan.output


def test_sources_inside_the_workspace_move_with_it(command, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    command("init", ".", "--source", "docs")
    assert yaml.safe_load((tmp_path / RECIPE).read_text())["collect"]["sources"] == ["docs"]


@pytest.mark.parametrize("option", ["--source", "--examples"])
def test_a_source_that_is_not_there(command, tmp_path: Path, text: Path, option: str) -> None:
    result = command("init", "mine", "--source", str(text), option, "nowhere")
    assert result.exit_code == 2
    assert "no such file or folder" in result.errors
    assert str(tmp_path / "nowhere") in result.errors
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("arguments", "said"), [(("--budget", "soon"), "is no budget"), (("--name", ""), "name")]
)
def test_a_setting_that_cannot_be_meant(command, tmp_path: Path, arguments, said: str) -> None:
    result = command("init", "mine", *arguments)
    if arguments[0] == "--name":  # an empty name is taken as none
        assert result.exit_code == 0
        return
    assert result.exit_code == 2
    assert said in result.errors
    assert not (tmp_path / "mine").exists()


def test_a_file_stands_in_the_way(command, tmp_path: Path, text: Path) -> None:
    result = command("init", str(text))
    assert result.exit_code == 1
    assert "error: " in result.errors
    assert text.read_text() == "A text of some words."
