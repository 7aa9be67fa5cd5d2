"""The verbs of single stages, made from the table of stages."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from modelwright.cli.options import DRY_RUN, PRINT_CONFIG, given_values, options_of
from modelwright.core.artifact import MANIFEST, Artifact, read_manifest
from modelwright.core.errors import UsageError
from modelwright.core.progress import make_progress
from modelwright.core.settings import parse_settings
from modelwright.core.workspace import hold
from modelwright.pipeline.given import open_given
from modelwright.pipeline.plan import PlannedStage, look_up
from modelwright.pipeline.recipe import to_yaml
from modelwright.pipeline.stages import STAGES, Stage

SHOWN_REASONS = 3
"""Most reasons why something was left out; the manifest has all."""


def command_for(name: str) -> click.Command:
    """The click command of a stage."""
    stage = next(stage for stage in STAGES if stage.name == name)
    folders: list[click.Parameter] = [
        click.Option(
            [f"--{one.role}", f"input_{one.role}"],
            metavar="FOLDER",
            multiple=True,
            help=f"The {one.kind} to use{' (optional)' if one.optional else ''}.",
        )
        for one in stage.inputs
    ]
    out = click.Option(["--out", "out"], metavar="FOLDER", help=f"Where the {stage.makes} goes.")
    overwrite = click.Option(
        ["--overwrite"], is_flag=True, help="Replace another result of this stage in --out."
    )
    return click.Command(
        name,
        params=[*folders, out, overwrite, *options_of(stage.settings), PRINT_CONFIG, DRY_RUN],
        callback=lambda **flags: run_alone(stage, flags),
        help=f"{stage.summary}.\n\nTakes and makes plain folders; needs no workspace.",
    )


def run_alone(stage: Stage, flags: dict[str, Any]) -> None:
    """Run a stage outside any workspace."""
    given = given_values(stage.settings, flags)
    settings = parse_settings(stage.settings, given, source="the command line")
    if flags["print_config"]:
        click.echo(to_yaml(settings), nl=False)
        return
    inputs = _open_inputs(stage, flags)
    if not flags["out"]:
        raise UsageError("no place for the result", fix="give one with --out FOLDER")
    target = Path(flags["out"]).resolve()
    planned = look_up(stage, settings, inputs, _finished(target, stage))
    if planned.artifact is not None or flags["dry_run"]:
        click.echo(f"{stage.name}: {planned.reason}")
        return
    if not flags["overwrite"]:
        _refuse_to_replace(target, planned)
    from modelwright.pipeline.runner import StageRun, run_stage

    with hold(target.with_name(f".{target.name}.lock"), target):
        run = StageRun(planned, inputs, target)
        artifact = run_stage(run, make_progress(), time.monotonic())
    click.echo(f"{stage.name}: {describe(artifact)}")
    click.echo(str(target))


def describe(artifact: Artifact) -> str:
    """Counts of an artifact in one line."""
    manifest = artifact.manifest
    counts = [f"{value:,} {name.replace('_', ' ')}" for name, value in manifest.counts.items()]
    return ", ".join(counts + _dropped(manifest.dropped))


def _dropped(by_reason: Mapping[str, int]) -> list[str]:
    """How many were left out, and for the most part why; nothing if none were."""
    if not any(by_reason.values()):
        return []
    often = sorted(by_reason.items(), key=lambda reason: -reason[1])[:SHOWN_REASONS]
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in often if count)
    return [f"{sum(by_reason.values()):,} dropped ({reasons})"]


def _open_inputs(stage: Stage, flags: dict[str, Any]) -> dict[str, Artifact]:
    inputs = {}
    for one in stage.inputs:
        given = flags[f"input_{one.role}"]
        if len(given) > 1:
            raise UsageError(
                f"'{stage.name}' takes one {one.role} and was given {len(given)}",
                where=", ".join(given),
                fix=f"give --{one.role} once; what one call makes can be given to the next",
            )
        if given:
            inputs[one.role] = open_given(Path(given[0]), one.kind)
        elif not one.optional:
            raise UsageError(f"'{stage.name}' needs a {one.role}", fix=f"give --{one.role} FOLDER")
    return inputs


def _finished(target: Path, stage: Stage) -> list[Artifact]:
    """What the stage made there before; nothing else there may be replaced by its result."""
    if not target.exists() or not any(target.iterdir()):
        return []
    if (target / MANIFEST).is_file():
        artifact = Artifact(target, read_manifest(target))
        if artifact.manifest.stage == stage.name:
            return [artifact]
    raise UsageError(
        f"the folder holds something that '{stage.name}' did not make",
        where=target,
        fix="give another folder, or empty this one",
    )


def _refuse_to_replace(target: Path, planned: PlannedStage) -> None:
    if (target / MANIFEST).is_file():
        raise UsageError(
            f"the folder holds another result of '{planned.stage.name}' ({planned.reason})",
            where=target,
            fix="give another folder, or replace it with --overwrite",
        )
