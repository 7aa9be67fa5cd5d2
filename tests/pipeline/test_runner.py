import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_stages import FAKE_STAGES, STEPS, Script

from modelwright import __version__
from modelwright.core.artifact import Artifact, digest_of, hash_files, open_artifact
from modelwright.core.database import sqlite_url
from modelwright.core.errors import InputError, ModelwrightError, UsageError
from modelwright.core.job import Job
from modelwright.core.progress import SilentProgress
from modelwright.core.store import Store
from modelwright.core.workspace import Workspace
from modelwright.pipeline import usage
from modelwright.pipeline.plan import look_up, make_plan
from modelwright.pipeline.recipe import Recipe, load_recipe
from modelwright.pipeline.runner import StageRun, open_store, run_recipe, run_stage
from modelwright.pipeline.stages import stages_of
from modelwright.training.settings import PretrainSettings

Run = Callable[..., list[Artifact]]
Load = Callable[..., Recipe]


class Killed(BaseException):
    """Ends a stage as SIGKILL would: nothing of ours runs any more."""


def kill(job: Job[Any]) -> None:
    raise Killed


def fail(job: Job[Any]) -> None:
    raise InputError("this text cannot be used", where="line 7", fix="write another")


def statuses(workspace: Workspace) -> list[tuple[str, str]]:
    store = Store(sqlite_url(workspace.database), workspace.identity())
    found = [(run.stage, run.status) for run in store.runs()]
    store.close()
    return found


def test_a_manifest_says_all_of_an_artifact(run: Run, workspace: Workspace) -> None:
    collect, prepare, tokenizer, model = run()
    manifest = tokenizer.manifest
    assert (manifest.kind, manifest.stage, manifest.id) == (
        "tokenizer",
        "tokenizer",
        f"tokenizer-{manifest.key[:12]}",
    )
    assert tokenizer.path == workspace.artifacts_folder / manifest.id
    (parent,) = manifest.parents
    assert (parent.role, parent.kind, parent.id, parent.digest) == (
        "corpus",
        "corpus",
        prepare.id,
        prepare.manifest.digest,
    )
    assert manifest.settings["pre_tokenizer"] == "qwen2"
    assert manifest.code_version == __version__
    assert manifest.metrics == {"words": 4.0}
    assert set(manifest.files) == {"count.txt", "log/times.txt"}
    assert manifest.files == hash_files(tokenizer.path)
    assert manifest.digest == digest_of(manifest.files)
    assert manifest.machine["cores"] >= 1
    assert manifest.seconds >= 0
    assert collect.manifest.counts == {"words": 5}
    assert prepare.manifest.dropped == {"duplicate": 1}
    assert model.manifest.settings["layers"] == 7  # as used, not as asked for
    assert model.manifest.key_parts["settings"]["layers"] is None
    for artifact in (collect, prepare, tokenizer, model):
        assert open_artifact(artifact.path, artifact.kind).manifest == artifact.manifest
        assert artifact.changed_files() == []


def test_licences_are_those_of_all_ancestors(run: Run) -> None:
    licences = [artifact.manifest.licences for artifact in run()]
    assert licences == [["MIT"], ["CC0-1.0", "MIT"], ["CC0-1.0", "MIT"], ["CC0-1.0", "MIT"]]


def test_scratch_files_and_logs_count_for_nothing(run: Run, workspace: Workspace) -> None:
    tokenizer, model = run()[2:]
    digest = tokenizer.manifest.digest
    (tokenizer.path / "log" / "times.txt").write_text("2.5")
    assert digest_of(hash_files(tokenizer.path)) == digest
    assert not list(workspace.artifacts_folder.glob("*/scratch"))
    assert set(model.manifest.files) == {"model.txt", "resumed.txt"}


def test_runs_and_measurements_are_kept(run: Run, workspace: Workspace) -> None:
    model = run()[-1]
    assert statuses(workspace) == [(stage.name, "finished") for stage in FAKE_STAGES]
    store = Store(sqlite_url(workspace.database), workspace.identity())
    assert store.metrics(model.id, "loss") == [(0, 1.0), (1, 0.5), (2, 1 / 3), (3, 0.25)]
    store.close()


def test_each_artifact_is_handed_out_as_it_is_there(workspace: Workspace, recipe: Load) -> None:
    seen: list[str] = []

    def keep(artifact: Artifact) -> None:
        assert (artifact.path / "manifest.json").is_file()
        seen.append(artifact.manifest.stage)

    run_recipe(recipe(), workspace, SilentProgress(), "tokenizer", keep)
    assert seen == ["collect", "prepare", "tokenizer"]


def test_a_failed_stage_is_recorded_and_made_on_the_next_run(
    run: Run, workspace: Workspace, script: Script
) -> None:
    script.after["prepare"] = fail
    with pytest.raises(InputError, match="cannot be used"):
        run()
    assert statuses(workspace) == [("collect", "finished"), ("prepare", "failed")]
    store = Store(sqlite_url(workspace.database), workspace.identity())
    assert "line 7" in (store.runs()[-1].message or "")
    store.close()
    assert [artifact.manifest.stage for artifact in workspace.artifacts()] == ["collect"]
    del script.after["prepare"]
    assert len(run()) == 4
    assert script.calls == ["collect", "prepare", "prepare", "tokenizer", "pretrain"]


class Notes(SilentProgress):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said = list[str]()

    def note(self, text: str) -> None:
        self.said.append(text)


def press_ctrl_c(job: Job[Any]) -> None:
    raise KeyboardInterrupt


def fill_the_disk(job: Job[Any]) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("stage", "where", "is_kept"),
    [
        ("prepare", "after", False),  # starts anew in any case
        ("pretrain", "before", False),  # has done nothing yet
        ("pretrain", "after", True),
    ],
)
@pytest.mark.parametrize("how", [fail, press_ctrl_c, fill_the_disk])
def test_what_a_failed_stage_leaves_serves_to_go_on_and_is_told_of(
    recipe: Load,
    workspace: Workspace,
    script: Script,
    stage: str,
    where: str,
    is_kept: bool,
    how: Callable[[Job[Any]], None],
) -> None:
    getattr(script, where)[stage] = how
    progress = Notes()
    with pytest.raises((InputError, KeyboardInterrupt, OSError)):
        run_recipe(recipe(), workspace, progress)
    left = [str(path) for path in workspace.artifacts_folder.glob("*.partial")]
    told = [text for text in progress.said if "goes on from it" in text]
    assert len(left) == len(told) == is_kept
    assert all(path in text for path, text in zip(left, told, strict=True))


def test_a_store_that_fails_too_does_not_hide_the_failure(
    run: Run, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(store: Store, run_id: int, status: str, message: str | None = None) -> None:
        raise ModelwrightError("the disk is full")

    script.before["collect"] = lambda job: monkeypatch.setattr(Store, "end_run", broken)
    script.after["collect"] = fail
    with pytest.raises(InputError, match="this text cannot be used"):
        run()


def test_ctrl_c_is_an_interruption(run: Run, workspace: Workspace, script: Script) -> None:
    def press(job: Job[Any]) -> None:
        raise KeyboardInterrupt

    script.before["prepare"] = press
    with pytest.raises(KeyboardInterrupt):
        run()
    assert statuses(workspace) == [("collect", "finished"), ("prepare", "interrupted")]


def test_a_run_that_never_ended_is_marked_by_the_next(run: Run, workspace: Workspace) -> None:
    store = Store(sqlite_url(workspace.database), workspace.identity())
    store.start_run("collect", "collect-1")
    store.close()
    run(until="collect")
    assert statuses(workspace) == [("collect", "interrupted"), ("collect", "finished")]


def test_what_a_killed_stage_left_is_not_used_where_it_cannot_resume(
    run: Run, workspace: Workspace, script: Script
) -> None:
    script.after["prepare"] = kill
    with pytest.raises(Killed):
        run()
    (partial,) = workspace.artifacts_folder.glob("prepare-*.partial")
    (partial / "junk.txt").write_text("half of something")
    del script.after["prepare"]
    artifact = run(until="prepare")[-1]
    assert set(artifact.manifest.files) == {"words.txt"}
    assert not list(workspace.artifacts_folder.glob("*.partial"))


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_a_resumable_stage_goes_on_where_it_was_killed(run: Run, script: Script, step: int) -> None:
    script.before[f"step {step}"] = kill
    with pytest.raises(Killed):
        run()
    script.before.clear()
    assert run()[-1].file("resumed.txt").read_text() == str(step)


def test_time_and_measurements_of_a_resumed_stage_are_whole(
    run: Run, workspace: Workspace, recipe: Load, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.before["step 3"] = kill
    with pytest.raises(Killed):
        run()
    (used,) = workspace.artifacts_folder.glob("pretrain-*.partial/scratch/used.json")
    assert json.loads(used.read_text())["seconds"] > 0
    used.write_text('{"seconds": 1000.0, "cpu_seconds": 2000.0}')
    script.before.clear()
    id = used.parents[1].name.removesuffix(".partial")
    store = open_store(recipe(), workspace)
    store.log_metrics(id, 7, {"loss": 9.0})  # as if it had come further than its checkpoint
    manifest = run()[-1].manifest
    assert 1000 <= manifest.seconds < 2000
    assert 2000 <= manifest.cpu_seconds < 3000
    assert [step for step, _ in store.metrics(id, "loss")] == [0, 1, 2, 3]
    store.close()


def test_times_are_kept_while_a_stage_runs(
    run: Run, workspace: Workspace, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed for good cannot keep them at its end."""
    monkeypatch.setattr(usage, "SAVE_SECONDS", 0.0)
    kept = list[bool]()
    script.before["step 2"] = lambda job: kept.append((job.scratch / "used.json").is_file())
    run()
    assert kept == [True]


@pytest.mark.parametrize("name", ["diary.txt", "scratch/notes.txt"])
@pytest.mark.parametrize("stage", ["prepare", "pretrain"])
def test_a_foreign_folder_in_the_way_is_left_alone(
    run: Run, workspace: Workspace, script: Script, stage: str, name: str
) -> None:
    finished = next(one for one in run() if one.manifest.stage == stage)
    shutil.rmtree(finished.path)
    partial = finished.path.with_name(finished.path.name + ".partial")
    (partial / name).parent.mkdir(parents=True)
    (partial / name).write_text("mine")
    with pytest.raises(UsageError, match="in the place"):
        run()
    assert (partial / name).read_text() == "mine"
    (partial / name).unlink()
    assert run()


def test_a_half_finished_artifact_is_none(run: Run, workspace: Workspace, script: Script) -> None:
    script.after["pretrain"] = kill
    with pytest.raises(Killed):
        run()
    assert [artifact.manifest.stage for artifact in workspace.artifacts()] == [
        "collect",
        "prepare",
        "tokenizer",
    ]


@pytest.mark.parametrize("stage", ["prepare", "pretrain"])
@pytest.mark.parametrize("scratch", ["whole", "half removed", "gone"])
def test_a_stage_killed_between_manifest_and_rename_is_not_run_again(
    run: Run, workspace: Workspace, script: Script, stage: str, scratch: str
) -> None:
    finished = next(one for one in run() if one.manifest.stage == stage)
    partial = finished.path.with_name(finished.path.name + ".partial")
    finished.path.rename(partial)
    if scratch != "gone":
        (partial / "scratch").mkdir()
        (partial / "scratch" / "progress.txt").write_text("2")
    if scratch == "whole":
        (partial / "scratch" / "key").write_text(finished.manifest.key)
    script.calls.clear()
    run()
    assert script.calls == []
    assert open_artifact(finished.path, finished.kind).manifest == finished.manifest
    assert finished.changed_files() == []
    assert not (finished.path / "scratch").exists()
    assert not partial.exists()


def test_a_killed_run_with_other_settings_is_not_gone_on_with(
    workspace: Workspace, recipe: Load, run: Run, script: Script, tmp_path: Path
) -> None:
    """Outside a workspace the folder's name does not tell settings apart."""
    _, prepare, tokenizer, _ = run()
    stage = stages_of(recipe())[-1]
    inputs = {"corpus": prepare, "tokenizer": tokenizer}

    def run_alone(seed: int) -> Artifact:
        planned = look_up(stage, PretrainSettings(seed=seed), inputs, [])
        return run_stage(
            StageRun(planned, inputs, tmp_path / "out"), SilentProgress(), time.monotonic()
        )

    script.before["step 3"] = kill
    with pytest.raises(Killed):
        run_alone(seed=1)
    with pytest.raises(Killed):
        run_alone(seed=2)
    script.before.clear()
    model = run_alone(seed=2)
    assert model.file("model.txt").read_text() == "seed 2 " * STEPS
    assert model.file("resumed.txt").read_text() == "3"
    assert run_alone(seed=1).file("resumed.txt").read_text() == "0"


def test_a_folder_that_was_being_cleared_is_not_gone_on_with(
    recipe: Load, run: Run, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, prepare, tokenizer, _ = run()
    stage = stages_of(recipe())[-1]
    inputs = {"corpus": prepare, "tokenizer": tokenizer}

    def run_alone(seed: int) -> Artifact:
        planned = look_up(stage, PretrainSettings(seed=seed), inputs, [])
        return run_stage(
            StageRun(planned, inputs, tmp_path / "out"), SilentProgress(), time.monotonic()
        )

    script.before["step 3"] = kill
    with pytest.raises(Killed):
        run_alone(seed=1)
    script.before.clear()

    def die(path: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", die)
        with pytest.raises(Killed):
            run_alone(seed=2)
    assert (tmp_path / "out.partial" / "scratch" / "progress.txt").is_file()
    assert run_alone(seed=1).file("resumed.txt").read_text() == "0"


def test_a_source_that_changes_while_it_is_read_is_stale_afterwards(
    run: Run, workspace: Workspace, recipe: Load, script: Script, source: Path
) -> None:
    script.after["collect"] = lambda job: source.write_text("changed meanwhile") and None
    collect = run(until="collect")[0]
    assert collect.id == f"collect-{collect.manifest.key[:12]}"
    plan = make_plan(recipe(), workspace.artifacts(), "collect")
    assert plan[0].reason == "the sources have changed"


def test_the_real_stages_leave_complete_manifests(finished: Workspace) -> None:
    artifacts = {artifact.manifest.stage: artifact for artifact in finished.artifacts()}
    stages = stages_of(load_recipe(finished.recipe))
    assert list(artifacts) == [stage.name for stage in stages]  # oldest first
    for stage in stages:
        manifest = artifacts[stage.name].manifest
        assert artifacts[stage.name].changed_files() == []
        assert manifest.kind == stage.makes
        made_here = {one.role for one in stage.inputs if one.made_by}
        assert {parent.role for parent in manifest.parents} == made_here
        for parent in manifest.parents:
            (made_by,) = [one for one in artifacts.values() if one.id == parent.id]
            assert (parent.kind, parent.digest) == (made_by.kind, made_by.manifest.digest)
            assert set(made_by.manifest.licences) <= set(manifest.licences)
        assert set(manifest.settings) >= set(stage.settings.model_fields)
    assert set(artifacts["finetune"].manifest.licences) == {
        "CC0-1.0",
        "LicenseRef-unknown",
        "MIT",
    }
    pretrain = artifacts["pretrain"].manifest
    assert pretrain.settings["learning_rate"] is not None  # the dial filled it in
    assert pretrain.key_parts["settings"]["learning_rate"] is None
    assert pretrain.counts["steps"] == 3
    assert artifacts["prepare"].manifest.counts["documents_in"] == 8


def test_a_second_workspace_with_the_same_sources_gives_the_same_digests(
    finished: Workspace, tmp_path: Path
) -> None:
    again = Workspace(tmp_path / "again")
    again.root.mkdir()
    shutil.copy(finished.recipe, again.recipe)
    run_recipe(load_recipe(again.recipe), again, SilentProgress())
    assert [(one.id, one.manifest.digest) for one in again.artifacts()] == [
        (one.id, one.manifest.digest) for one in finished.artifacts()
    ]


def test_manifests_are_plain_json(finished: Workspace) -> None:
    for path in finished.artifacts_folder.glob("*/manifest.json"):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        assert manifest["format"] == 1
        assert manifest["created"] < "9999"
