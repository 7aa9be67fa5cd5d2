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
from modelwright.core.errors import ModelwrightError
from modelwright.core.files import (
    PARTIAL_SUFFIX,
    move_folder,
    sha256_json,
    sync_file,
    write_text,
)
from modelwright.core.job import Job, LogMetrics, Outcome
from modelwright.core.machine import this_machine
from modelwright.core.progress import Progress
from modelwright.core.settings import Settings
from modelwright.core.store import Store, now, sqlite_url
from modelwright.core.workspace import Workspace
from modelwright.pipeline.plan import PlannedStage, inputs_of, look_up
from modelwright.pipeline.recipe import Recipe
from modelwright.pipeline.stages import load_function, settings_of, stages_of
from modelwright.training.choice import fill_from_dial

KEY_FILE = "key"
"""In the scratch folder: what a cut-off run was making, so that no other run goes on from it."""


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
    """

    planned: PlannedStage
    inputs: Mapping[str, Artifact]
    target: Path

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
        for stage in stages_of(recipe, until):
            inputs = inputs_of(stage, done)
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
    return Store(recipe.store or sqlite_url(workspace.database))


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
    _clear(run, partial)
    settings = fill_from_dial(settings, stage.name, run.inputs.get("dial"))
    job = Job(settings, run.inputs, partial, progress, log_metrics, started)
    wall, cpu = time.monotonic(), time.process_time()
    outcome = load_function(stage)(job)
    seconds, cpu_seconds = time.monotonic() - wall, time.process_time() - cpu
    manifest = _manifest(run, settings, outcome, partial, seconds, cpu_seconds)
    write_manifest(partial, manifest)
    return manifest


def _clear(run: StageRun, partial: Path) -> None:
    """Make ``partial`` a folder that is empty or holds what this very run left."""
    key_file = partial / SCRATCH_FOLDER / KEY_FILE
    is_own = key_file.is_file() and key_file.read_text(encoding="utf-8") == run.key
    if partial.exists() and not (run.planned.stage.resumable and is_own):
        shutil.rmtree(partial)
    key_file.parent.mkdir(parents=True, exist_ok=True)
    write_text(key_file, run.key)


def _recorded(run: StageRun, store: Store, progress: Progress, started: float) -> Artifact:
    """Run a stage and keep in the store that it ran, how it ended, and what it measured."""
    run_id = store.start_run(run.planned.stage.name, run.id)

    def log_metrics(step: int, values: Mapping[str, float]) -> None:
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
    seconds: float,
    cpu_seconds: float,
) -> Manifest:
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
