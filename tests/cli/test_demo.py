"""The demo's own business; what it runs is tested elsewhere."""

from pathlib import Path

import pytest
import yaml
from tiny_workspace import MADE, SETTINGS, contents, make_workspace, write_recipe, write_sources

from modelwright.core.workspace import RECIPE, Workspace
from modelwright.pipeline.recipe import load_recipe
from modelwright.serving.server import listen


@pytest.mark.parametrize("verb", ["init", "demo"])
def test_nothing_is_written_before_it_is_meant(command, tmp_path: Path, verb: str) -> None:
    flags = ("new", "--budget", "7 minutes")
    printed = command(verb, *flags, "--print-config")
    assert (printed.exit_code, printed.errors) == (0, "")
    plan = command(verb, *flags, "--dry-run")
    assert (plan.exit_code, plan.errors) == (0, "")
    assert contents(tmp_path) == {}
    workspace = write_recipe(tmp_path / "other", yaml.safe_load(printed.output))
    recipe = load_recipe(workspace.recipe)
    assert recipe.budget == "7 minutes"
    assert recipe.collect.sources[0].kind == "python-docs"


def test_the_recipe_that_init_would_write(command, tmp_path: Path) -> None:
    said = command("init", "new", "--dry-run").output
    assert command("init", "new").exit_code == 0
    assert (tmp_path / "new" / RECIPE).read_text(encoding="utf-8") == said


def test_the_plan_of_the_demo(command, tmp_path: Path) -> None:
    lines = command("demo", "new", "--dry-run").output.splitlines()
    assert [line.split()[0] for line in lines] == [stage.name for stage in MADE]


def test_a_port_in_use_is_told_before_minutes_of_work(command, tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        result = command("demo", "new", "--port", port)
    assert result.exit_code == 2
    assert f"port {port} is in use" in result.errors
    assert contents(tmp_path) == {}


def test_run_again_it_goes_on_with_the_recipe_that_is_there(command, tmp_path: Path) -> None:
    text, examples = write_sources(tmp_path)
    workspace = make_workspace(tmp_path / "mine", text, examples)
    result = command("demo", "mine", "--no-serve", "--budget", "2 steps")
    assert result.exit_code == 0, result.errors
    assert Workspace(workspace.root).artifact("pretrain").manifest.counts["steps"] == 2
    assert load_recipe(workspace.recipe).budget == SETTINGS["budget"]
    again = command("demo", "mine", "--no-serve", "--budget", "2 steps")
    assert "nothing to do" in again.output
