from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_stages import FAKE_STAGES, Script

from modelwright.core.artifact import Artifact
from modelwright.core.workspace import Workspace
from modelwright.pipeline import stages
from modelwright.pipeline.plan import make_plan
from modelwright.pipeline.recipe import Recipe

Run = Callable[..., list[Artifact]]
Load = Callable[..., Recipe]

FRESH = "up to date"


def reasons(recipe: Recipe, workspace: Workspace, until: str | None = None) -> dict[str, str]:
    plan = make_plan(recipe, workspace.artifacts(), until)
    for planned in plan:
        assert (planned.artifact is not None) == (planned.reason == FRESH)
    return {planned.stage.name: planned.reason for planned in plan}


def test_an_empty_workspace(recipe: Load, workspace: Workspace) -> None:
    assert reasons(recipe(), workspace) == {
        "collect": "not made yet",
        "prepare": "collect is made first",
        "tokenizer": "prepare is made first",
        "pretrain": "prepare is made first",
    }
    assert list(reasons(recipe(), workspace, "prepare")) == ["collect", "prepare"]


def test_after_a_run_all_is_fresh(run: Run, recipe: Load, workspace: Workspace) -> None:
    run()
    assert set(reasons(recipe(), workspace).values()) == {FRESH}


def test_a_changed_setting_is_named_with_both_values(
    run: Run, recipe: Load, workspace: Workspace
) -> None:
    run()
    changed = recipe(tokenizer={"pre_tokenizer": "gpt-2"}, pretrain={"seed": 5, "layers": 2})
    assert reasons(changed, workspace) == {
        "collect": FRESH,
        "prepare": FRESH,
        "tokenizer": "pre_tokenizer: qwen2 → gpt-2",
        "pretrain": "tokenizer is made first",
    }
    only_training = recipe(pretrain={"seed": 5, "layers": 2})
    assert reasons(only_training, workspace)["pretrain"] == "layers: None → 2, seed: 0 → 5"


def test_a_setting_that_no_stage_reads_makes_nothing_stale(
    run: Run, recipe: Load, workspace: Workspace
) -> None:
    run()
    assert set(reasons(recipe(name="other"), workspace).values()) == {FRESH}


def test_a_changed_source(run: Run, recipe: Load, workspace: Workspace, source: Path) -> None:
    run()
    source.write_text("Another text")
    assert reasons(recipe(), workspace)["collect"] == "the sources have changed"
    assert reasons(recipe(), workspace)["prepare"] == "collect is made first"


def test_a_changed_parent(run: Run, recipe: Load, workspace: Workspace, source: Path) -> None:
    run()
    source.write_text("Another text")
    run(until="collect")
    assert reasons(recipe(), workspace)["prepare"] == "another corpus"


def test_a_changed_stage(
    run: Run, recipe: Load, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    changed = tuple(
        replace(stage, version=2) if stage.name == "prepare" else stage for stage in FAKE_STAGES
    )
    monkeypatch.setattr(stages, "STAGES", changed)
    assert reasons(recipe(), workspace)["prepare"] == "the stage itself has changed"


def test_an_input_remade_with_the_same_content_stops_there(
    run: Run, recipe: Load, workspace: Workspace, source: Path, script: Script
) -> None:
    before = run()
    script.calls.clear()
    source.write_text("a MODEL learns   a language\n")  # prepare makes the same words of it
    after = run()
    assert script.calls == ["collect", "prepare"]
    assert after[1].id != before[1].id
    assert after[1].manifest.digest == before[1].manifest.digest
    assert after[2:] == before[2:]
    assert set(reasons(recipe(), workspace).values()) == {FRESH}


def test_going_back_to_earlier_settings_finds_the_earlier_artifacts(
    run: Run, script: Script
) -> None:
    first = run()
    run(pretrain={"seed": 1})
    script.calls.clear()
    assert run() == first
    assert script.calls == []


def test_a_deleted_artifact_is_made_again_and_its_descendants_are_kept(
    run: Run, recipe: Load, workspace: Workspace, script: Script
) -> None:
    artifacts = run()
    artifacts[1].path.rename(workspace.root / "elsewhere")
    assert reasons(recipe(), workspace)["prepare"] == "not made yet"
    script.calls.clear()
    assert [one.id for one in run()] == [one.id for one in artifacts]
    assert script.calls == ["prepare"]
