from pathlib import Path

import pytest
import yaml
from tiny_workspace import MADE, contents, make_workspace, modelwright, write_recipe, write_sources

from modelwright.core.settings import parse_settings
from modelwright.core.workspace import Workspace
from modelwright.pipeline.recipe import load_recipe


@pytest.fixture
def new(tmp_path: Path) -> Workspace:
    """A workspace with sources and nothing made yet."""
    return make_workspace(tmp_path / "new", *write_sources(tmp_path))


def test_a_dry_run_says_what_would_be_done_and_does_nothing(command, new: Workspace) -> None:
    before = contents(new.root)
    result = command("run", "--dry-run", cwd=new.root)
    assert (result.exit_code, result.errors) == (0, "")
    lines = [line.split(None, 2) for line in result.output.splitlines()]
    assert [line[0] for line in lines] == [stage.name for stage in MADE]
    assert {line[1] for line in lines} == {"stale"}
    assert lines[0][2] == "not made yet"
    assert lines[1][2] == "collect is made first"
    assert contents(new.root) == before


def test_a_dry_run_shows_only_the_stages_that_were_asked_for(command, new: Workspace) -> None:
    result = command("run", "--dry-run", "--until", "prepare", cwd=new.root)
    assert [line.split()[0] for line in result.output.splitlines()] == [
        "collect",
        "annotate",
        "prepare",
    ]


def test_from_a_folder_below_the_workspace_is_found(command, new: Workspace) -> None:
    (new.root / "a" / "b").mkdir(parents=True)
    assert command("run", "--dry-run", cwd=new.root / "a" / "b").exit_code == 0


def test_the_settings_in_full_are_a_recipe(command, finished: Workspace, tmp_path: Path) -> None:
    flags = ("--pretrain.layers", "3", "--name", "ü", "--pretrain.no-tie-embeddings")
    result = command("run", "--print-config", *flags, cwd=finished.root)
    assert (result.exit_code, result.errors) == (0, "")
    again = write_recipe(tmp_path / "again", yaml.safe_load(result.output))
    recipe = load_recipe(again.recipe)
    assert (recipe.pretrain.layers, recipe.pretrain.tie_embeddings) == (3, False)
    assert recipe.name == "ü"
    assert command("run", "--print-config", cwd=again.root).output == result.output


@pytest.mark.parametrize("stage", MADE, ids=lambda stage: stage.name)
def test_the_settings_of_a_stage_in_full_are_settings(command, stage) -> None:
    flags = ("--sources", "a.txt", "--sources", "python-docs") if stage.name == "collect" else ()
    result = command(stage.name, "--print-config", *flags)
    assert (result.exit_code, result.errors) == (0, "")
    settings = parse_settings(stage.settings, yaml.safe_load(result.output), source="the output")
    assert set(yaml.safe_load(result.output)) == set(stage.settings.model_fields)
    if stage.name == "collect":
        assert [source.kind for source in settings.sources] == ["files", "python-docs"]


def test_a_run_a_second_one_and_a_changed_setting(command, new: Workspace) -> None:
    first = command("run", cwd=new.root)
    assert first.exit_code == 0, first.errors
    assert "held-out text: " in first.output
    assert f"report: {new.root / 'report.html'}" in first.output
    assert "next:   modelwright chat, or modelwright serve" in first.output
    assert (new.root / "report.html").is_file()
    assert "pretrain: not made yet" in first.errors
    digests = [artifact.manifest.digest for artifact in new.artifacts()]
    assert len(digests) == len(MADE)

    second = command("run", cwd=new.root)
    assert second.exit_code == 0
    assert second.output.count("  fresh  up to date") == len(MADE)
    assert "nothing to do: everything is up to date" in second.output
    assert "stale" not in second.output
    assert [artifact.manifest.digest for artifact in new.artifacts()] == digests

    third = command("run", "--finetune.seed", "1", "--quiet", cwd=new.root)
    assert third.exit_code == 0
    assert "finetune   stale  seed: 0 → 1" in third.output
    assert "evaluate   stale  finetune is made first" in third.output
    assert third.output.count("fresh") == len(MADE) - 2
    assert third.errors == ""
    made = [artifact.manifest.stage for artifact in new.artifacts()][len(MADE) :]
    assert made == ["finetune", "evaluate"]
    # The recipe means the first model; the one that was made now has to be named.
    model = next(one for one in reversed(new.artifacts()) if one.manifest.stage == "finetune")
    assert f"next:   modelwright chat {model.id}, or modelwright serve {model.id}" in third.output


def test_a_run_up_to_a_stage(command, new: Workspace) -> None:
    result = command("run", "--until", "prepare", cwd=new.root)
    assert result.exit_code == 0
    assert [artifact.manifest.stage for artifact in new.artifacts()] == [
        "collect",
        "annotate",
        "prepare",
    ]
    assert "modelwright chat" not in result.output


def test_a_report_of_part_of_a_run_holds_all_that_is_up_to_date(command, copied: Workspace) -> None:
    report = copied.root / "report.html"
    before = report.read_text()
    assert command("run", "--until", "collect", cwd=copied.root).exit_code == 0
    assert report.read_text() == before
    changed = ("--finetune.seed", "1")
    assert command("run", "--until", "collect", *changed, cwd=copied.root).exit_code == 0
    assert copied.artifact("pretrain").id in report.read_text()
    assert copied.artifact("evaluate").id not in report.read_text()


def test_without_examples_the_pretrained_model_is_the_result(command, tmp_path: Path) -> None:
    text, _ = write_sources(tmp_path)
    workspace = make_workspace(tmp_path / "new", text, None)
    result = command("run", cwd=workspace.root)
    assert result.exit_code == 0, result.errors
    stages = [artifact.manifest.stage for artifact in workspace.artifacts()]
    assert stages == [stage.name for stage in MADE if stage.name not in ("examples", "finetune")]
    assert f"model:  {workspace.artifact('pretrain').path}" in result.output
    assert "held-out questions" not in result.output


def test_a_moved_workspace_is_not_trained_again(command, tmp_path: Path) -> None:
    write_sources(tmp_path / "here")
    workspace = make_workspace(tmp_path / "here", Path("text"), Path("examples.jsonl"))
    assert command("run", "--until", "shards", cwd=workspace.root).exit_code == 0
    workspace.root.rename(tmp_path / "there")
    result = command("run", "--until", "shards", cwd=tmp_path / "there")
    assert result.exit_code == 0
    made = [artifact.manifest.stage for artifact in Workspace(tmp_path / "there").artifacts()]
    assert made[7:] == ["collect", "examples"]


def test_the_command_itself(new: Workspace) -> None:
    result = modelwright("run", "--until", "examples", cwd=new.root)
    assert result.returncode == 0, result.stderr
    assert "  7 examples train, 2 examples heldout, " in result.stderr
