"""Running stages: one on its own, or all of a recipe's that are not fresh."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelwright import __version__
from modelwright.core.artifact import (
    SCRATCH_FOLDER,
    UNKNOWN_LICENCE,
    Artifact,
    Manifest,
    Parent,
    digest_of,
    hash_files,
    write_manifest,
)
from modelwright.core.files import PARTIAL_SUFFIX, move_folder, sha256_json, sync_file
from modelwright.core.job import Job, LogMetrics, Outcome
from modelwright.core.machine import this_machine
from modelwright.core.progress import Progress
from modelwright.core.settings import Settings
from modelwright.core.store import Store, now, sqlite_url
from modelwright.core.workspace import Workspace
from modelwright.pipeline.plan import inputs_of, key_parts, look_up
from modelwright.pipeline.recipe import Recipe
from modelwright.pipeline.stages import Stage, load_function, settings_of, stages_of
from modelwright.training.choice import fill_from_dial


@dataclass(frozen=True)
class StageRun:
    """One stage about to run: settings as asked for, inputs, and the folder it will become."""

    stage: Stage
    settings: Settings
    inputs: Mapping[str, Artifact]
    target: Path
    id: str


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
        for stage in stages_of(recipe):
            settings = settings_of(stage, recipe)
            inputs = inputs_of(stage, done)
            planned = look_up(stage, settings, inputs, workspace.artifacts())
            artifact = planned.artifact
            if artifact is None:
                key = sha256_json(key_parts(stage, settings, inputs))
                id = f"{stage.name}-{key[:12]}"
                run = StageRun(stage, settings, inputs, workspace.artifacts_folder / id, id)
                progress.note(f"{stage.name}: {planned.reason}")
                artifact = _recorded(run, store, progress, started)
            done[stage.name] = artifact
            on_artifact(artifact)
            if stage.name == until:
                break
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
    if not run.stage.resumable:
        shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, exist_ok=True)
    settings = fill_from_dial(run.settings, run.stage.name, run.inputs.get("dial"))
    job = Job(settings, run.inputs, partial, progress, log_metrics, started)
    wall, cpu = time.monotonic(), time.process_time()
    outcome = load_function(run.stage)(job)
    shutil.rmtree(partial / SCRATCH_FOLDER, ignore_errors=True)
    seconds = time.monotonic() - wall
    manifest = _manifest(run, settings, outcome, partial, seconds, time.process_time() - cpu)
    write_manifest(partial, manifest)
    move_folder(partial, run.target)
    return Artifact(run.target, manifest)


def _recorded(run: StageRun, store: Store, progress: Progress, started: float) -> Artifact:
    """Run a stage and keep in the store that it ran, how it ended, and what it measured."""
    run_id = store.start_run(run.stage.name, run.id)

    def log_metrics(step: int, values: Mapping[str, float]) -> None:
        store.log_metrics(run.id, step, values)

    try:
        artifact = run_stage(run, progress, started, log_metrics)
    except KeyboardInterrupt:
        store.end_run(run_id, "interrupted")
        raise
    except BaseException as error:
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
    parts = key_parts(run.stage, run.settings, run.inputs)
    inherited = {licence for parent in run.inputs.values() for licence in parent.manifest.licences}
    return Manifest(
        kind=run.stage.makes,
        id=run.id,
        stage=run.stage.name,
        created=now(),
        code_version=__version__,
        digest=digest_of(files),
        key=sha256_json(parts),
        key_parts=parts,
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
