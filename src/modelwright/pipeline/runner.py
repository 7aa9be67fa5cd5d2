"""Running stages: one on its own, or all of a recipe's that are not fresh."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelwright import __version__
from modelwright.core.artifact import (
    MANIFEST,
    SCRATCH_FOLDER,
    UNKNOWN_LICENCE,
    Artifact,
    Manifest,
    Parent,
    digest_of,
    hash_files,
    read_manifest,
    write_manifest,
)
from modelwright.core.clock import now
from modelwright.core.database import sqlite_url
from modelwright.core.errors import ModelwrightError, UsageError
from modelwright.core.files import (
    PARTIAL_SUFFIX,
    move_folder,
    sha256_json,
    sync_file,
    write_text,
)
from modelwright.core.job import Job, LogMetrics, Outcome, ShouldPrune
from modelwright.core.machine import this_machine
from modelwright.core.progress import Progress
from modelwright.core.settings import Settings
from modelwright.core.store import Store
from modelwright.core.workspace import Workspace
from modelwright.pipeline.given import given_models
from modelwright.pipeline.plan import PlannedStage, inputs_of, look_up
from modelwright.pipeline.ranks import hand_out
from modelwright.pipeline.recipe import Recipe
from modelwright.pipeline.stages import load_function, settings_of, stages_of
from modelwright.pipeline.usage import FILE as USED_FILE
from modelwright.pipeline.usage import Usage
from modelwright.training.choice import fill_from_dial

KEY_FILE = "key"
"""In the scratch folder: what a cut-off run was making, so that no other run goes on from it."""

NOBODY = ""
"""Stands in the key file while a folder is cleared."""


@dataclass(frozen=True)
class StageRun:
    """A planned stage about to run.

    Attributes
    ----------
    planned : PlannedStage
        The stage, its settings as asked for, and all that decides its result. What is outside the
        workspace was looked at before the stage reads it, so that a change in between makes the
        artifact stale.
    inputs : mapping of role to Artifact
        What it takes.
    target : Path
        The folder that it will become.
    should_prune : callable
        Whether to give it up, see :class:`~modelwright.core.job.Job`; what was given up goes on
        when it is run again.
    """

    planned: PlannedStage
    inputs: Mapping[str, Artifact]
    target: Path
    should_prune: ShouldPrune = lambda step, values: False

    @property
    def key(self) -> str:
        """SHA-256 of all that decides the result."""
        return sha256_json(self.planned.parts)

    @property
    def id(self) -> str:
        """The artifact's id."""
        return artifact_id(self.planned)


def artifact_id(planned: PlannedStage) -> str:
    """Id of the artifact that a planned stage makes: equal work, equal id."""
    return f"{planned.stage.name}-{sha256_json(planned.parts)[:12]}"


def run_recipe(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress,
    until: str | None = None,
    on_artifact: Callable[[Artifact], None] = lambda artifact: None,
) -> list[Artifact]:
    """Bring a workspace up to date; returns the artifacts of the recipe's stages, in order.

    Parameters
    ----------
    recipe : Recipe
        What to make.
    workspace : Workspace
        Where; its lock must be held by the caller.
    progress : Progress
        Where to say what happens.
    until : str, optional
        The last stage to run.
    on_artifact : callable
        Called with each artifact as it is made or found fresh.
    """
    started = time.monotonic()
    store = open_store(recipe, workspace)
    store.mark_interrupted()
    done = dict[str, Artifact]()
    try:
        stages = stages_of(recipe, until)
        given = given_models(recipe, stages)
        for stage in stages:
            inputs = inputs_of(stage, done, given)
            planned = look_up(stage, settings_of(stage, recipe), inputs, workspace.artifacts())
            artifact = planned.artifact
            if artifact is None:
                target = workspace.artifacts_folder / artifact_id(planned)
                progress.note(f"{stage.name}: {planned.reason}")
                artifact = _recorded(StageRun(planned, inputs, target), store, progress, started)
            done[stage.name] = artifact
            on_artifact(artifact)
    finally:
        store.close()
    return list(done.values())


def open_store(recipe: Recipe, workspace: Workspace) -> Store:
    """The store that the recipe names, or the workspace's SQLite file."""
    return Store(recipe.store or sqlite_url(workspace.database), workspace.identity())


def run_stage(
    run: StageRun,
    progress: Progress,
    started: float,
    log_metrics: LogMetrics = lambda step, values: None,
) -> Artifact:
    """Run one stage and finish its artifact; what a cut-off run left is used where that is safe.

    Files are written into a neighbour of the target folder, which gets its final name when the
    manifest is in it.
    """
    partial = run.target.with_name(run.target.name + PARTIAL_SUFFIX)
    manifest = _finished_manifest(partial, run.key)
    if manifest is None:
        manifest = _make(run, partial, progress, started, log_metrics)
    # Only now: a run that is cut off before the manifest stands goes on from the scratch folder.
    shutil.rmtree(partial / SCRATCH_FOLDER, ignore_errors=True)
    move_folder(partial, run.target)
    return Artifact(run.target, manifest)


def _finished_manifest(partial: Path, key: str) -> Manifest | None:
    """The manifest of a run that was cut off between writing it and renaming the folder."""
    if not (partial / MANIFEST).is_file():
        return None
    manifest = read_manifest(partial)
    return manifest if manifest.key == key else None


def _make(
    run: StageRun, partial: Path, progress: Progress, started: float, log_metrics: LogMetrics
) -> Manifest:
    """Call the stage's function and write the manifest over its files."""
    stage, settings = run.planned.stage, run.planned.settings
    settings = fill_from_dial(settings, stage.name, run.inputs.get("dial"))
    _clear(run, partial)
    usage = Usage(partial / SCRATCH_FOLDER)

    def log(step: int, values: Mapping[str, float]) -> None:
        log_metrics(step, values)
        usage.save_now_and_then()

    previous = run.planned.previous
    job = Job(settings, run.inputs, partial, progress, log, started, previous, run.should_prune)
    if stage.parallel:
        hand_out(stage.name, job)
    try:
        outcome = load_function(stage)(job)
    except BaseException as error:
        with suppress(OSError):  # why the stage failed matters more to the user
            usage.save()
        if isinstance(error, ModelwrightError | OSError | KeyboardInterrupt):
            _leave(run, partial, progress)
        raise
    manifest = _manifest(run, settings, outcome, partial, usage)
    write_manifest(partial, manifest)
    return manifest


def _leave(run: StageRun, partial: Path, progress: Progress) -> None:
    """Keep what the same run can go on from, and say so; remove what serves nobody."""
    of_every_run = {partial / SCRATCH_FOLDER / name for name in (KEY_FILE, USED_FILE)}
    files = {path for path in partial.rglob("*") if path.is_file()}
    if run.planned.stage.resumable and files - of_every_run:
        progress.note(
            f"  what is done so far is in {partial}: the same command goes on from it, one with "
            "other settings begins anew"
        )
    else:
        shutil.rmtree(partial, ignore_errors=True)


def _clear(run: StageRun, partial: Path) -> None:
    """Make ``partial`` a folder that is empty or holds what this very run left.

    Raises
    ------
    UsageError
        If something is there that no run of ours left.
    """
    key_file = partial / SCRATCH_FOLDER / KEY_FILE
    is_known = key_file.is_file()
    if not is_known and not _may_be_emptied(partial, key_file, run.planned.stage.name):
        raise UsageError(
            "something is in the place where the result is to be put together",
            where=partial,
            fix="move it away, or give another folder",
        )
    is_own = is_known and key_file.read_text(encoding="utf-8") == run.key
    if run.planned.stage.resumable and is_own:
        return
    key_file.parent.mkdir(parents=True, exist_ok=True)
    write_text(key_file, NOBODY)  # a run that is killed while it clears leaves half of something
    _remove_all_but(partial, key_file.parent)
    _remove_all_but(key_file.parent, key_file)
    write_text(key_file, run.key)


def _may_be_emptied(partial: Path, key_file: Path, stage: str) -> bool:
    """Whether nothing is lost: there is no file, or an earlier result of the stage without key."""
    if (partial / MANIFEST).is_file():
        return read_manifest(partial).stage == stage
    begun = key_file.with_name(key_file.name + PARTIAL_SUFFIX)
    if not partial.exists():
        return True
    return partial.is_dir() and all(path.is_dir() or path == begun for path in partial.rglob("*"))


def _remove_all_but(folder: Path, kept: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path == kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _recorded(run: StageRun, store: Store, progress: Progress, started: float) -> Artifact:
    """Run a stage and keep in the store that it ran, how it ended, and what it measured."""
    run_id = store.start_run(run.planned.stage.name, run.id)
    is_first = True

    def log_metrics(step: int, values: Mapping[str, float]) -> None:
        nonlocal is_first
        if is_first:  # what a cut-off run measured after its last checkpoint is measured again
            store.delete_metrics_from(run.id, step)
            is_first = False
        store.log_metrics(run.id, step, values)

    try:
        artifact = run_stage(run, progress, started, log_metrics)
    except KeyboardInterrupt:
        store.end_run(run_id, "interrupted")
        raise
    except BaseException as error:
        with suppress(ModelwrightError):  # why the stage failed matters more to the user
            store.end_run(run_id, "failed", str(error))
        raise
    store.end_run(run_id, "finished")
    return artifact


def _manifest(
    run: StageRun,
    settings: Settings,
    outcome: Outcome,
    folder: Path,
    usage: Usage,
) -> Manifest:
    seconds, cpu_seconds = usage.seconds, usage.cpu_seconds
    files = hash_files(folder)
    for name in files:
        sync_file(folder / name)
    stage = run.planned.stage
    inherited = {licence for parent in run.inputs.values() for licence in parent.manifest.licences}
    return Manifest(
        kind=stage.makes,
        id=run.id,
        stage=stage.name,
        created=now(),
        code_version=__version__,
        digest=digest_of(files),
        key=run.key,
        key_parts=dict(run.planned.parts),
        parents=[_parent(role, artifact) for role, artifact in sorted(run.inputs.items())],
        settings=_plain({**settings.model_dump(), **outcome.settings}),
        licences=sorted(inherited | set(outcome.licences)) or [UNKNOWN_LICENCE],
        counts=outcome.counts,
        dropped=outcome.dropped,
        metrics=outcome.metrics,
        files=files,
        machine=this_machine().as_dict(),
        seconds=round(seconds, 2),
        cpu_seconds=round(cpu_seconds, 2),
    )


def _parent(role: str, artifact: Artifact) -> Parent:
    manifest = artifact.manifest
    return Parent(role=role, kind=manifest.kind, id=manifest.id, digest=manifest.digest)


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    return {name: str(item) if isinstance(item, Path) else item for name, item in value.items()}
