"""``modelwright run``: bring a workspace up to date."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from modelwright.cli.options import DRY_RUN, PRINT_CONFIG, given_values, options_of
from modelwright.cli.stage import describe
from modelwright.core.artifact import Artifact
from modelwright.core.errors import UsageError
from modelwright.core.nearest import nearest
from modelwright.core.progress import Progress, make_progress
from modelwright.core.workspace import Workspace, find_workspace
from modelwright.pipeline.current import find_model, fresh_artifacts
from modelwright.pipeline.plan import PlannedStage, make_plan
from modelwright.pipeline.recipe import Recipe, load_recipe, to_yaml
from modelwright.pipeline.stages import STAGES, stages_of

PARTS = {stage.name: stage.settings for stage in STAGES if stage.name in Recipe.model_fields}
"""The recipe's parts that belong to stages, by name."""


def _recipe_options() -> list[click.Option]:
    options = options_of(Recipe)
    for name, model in PARTS.items():
        options += options_of(model, prefix=f"{name}.", hidden=True)
    return options


def run(**flags: Any) -> None:
    """Bring the workspace up to date with its recipe.

    Shows what is fresh and what is stale and why, runs only what is needed, and goes on where
    an earlier run was cut off. Every setting of the recipe can be given as an option, as in
    --pretrain.layers 4 or --prepare.min-characters 10 (see --print-config).
    """
    workspace = find_workspace(Path.cwd())
    recipe = load_recipe(workspace.recipe, _overrides(flags))
    until = _check_stage(flags["until"], recipe)
    if flags["print_config"]:
        click.echo(to_yaml(recipe), nl=False)
        return
    if flags["dry_run"]:
        print_plan(make_plan(recipe, workspace.artifacts(), until))
        return
    with workspace.lock():
        bring_up_to_date(recipe, workspace, make_progress(flags["quiet"]), until)


def bring_up_to_date(
    recipe: Recipe, workspace: Workspace, progress: Progress, until: str | None = None
) -> list[Artifact]:
    """Print the plan, run it, write the report, and say how to go on."""
    started = time.monotonic()
    plan = make_plan(recipe, workspace.artifacts(), until)
    print_plan(plan)
    if any(planned.stage.name == "align" and planned.artifact is None for planned in plan):
        click.echo(
            f"aligning comes on top of the budget of {recipe.budget}: it goes on for "
            f"{recipe.align.budget} (align.budget)"
        )
    if all(planned.artifact for planned in plan):
        click.echo("nothing to do: everything is up to date")
    from modelwright.pipeline.runner import run_recipe
    from modelwright.studio.report import write_report

    made = list[Artifact]()

    def keep(artifact: Artifact) -> None:
        made.append(artifact)
        if not any(planned.artifact == artifact for planned in plan):
            progress.note(f"  {describe(artifact)} ({artifact.manifest.seconds:.1f} s)")

    artifacts = run_recipe(recipe, workspace, progress, until, keep)
    up_to_date = fresh_artifacts(recipe, workspace.artifacts()) if until else artifacts
    report = write_report(workspace.root, up_to_date or artifacts, recipe.name)
    _print_result(workspace, artifacts, report, time.monotonic() - started)
    return artifacts


def print_plan(plan: list[PlannedStage]) -> None:
    """Print which stages are fresh or stale, and why."""
    width = max(len(planned.stage.name) for planned in plan)
    for planned in plan:
        fresh = planned.artifact is not None
        mark = click.style("fresh", fg="green") if fresh else click.style("stale", fg="yellow")
        click.echo(f"  {planned.stage.name:<{width}}  {mark}  {planned.reason}")


def _print_result(
    workspace: Workspace, artifacts: list[Artifact], report: Path, seconds: float
) -> None:
    last = artifacts[-1]
    models = [artifact for artifact in artifacts if artifact.kind == "model"]
    if last.kind == "evaluation":
        click.echo("\n" + evaluation_summary(last, models))
    click.echo(f"\ndone in {seconds / 60:.1f} minutes")
    click.echo(f"report: {report}")
    if models:
        model = models[-1]
        # What was asked for on this command line, the recipe does not say.
        is_usual = find_model(workspace.root, None).folder == model.path
        named = "" if is_usual else f" {model.id}"
        click.echo(f"model:  {model.path}")
        click.echo(f"next:   modelwright chat{named}, or modelwright serve{named}")


def evaluation_summary(evaluation: Artifact, models: Sequence[Artifact]) -> str:
    """The evaluation's main figures in a few lines; the models are those of the same run."""
    from modelwright.studio.outcome import taught_by

    metrics, taught = evaluation.manifest.metrics, taught_by(models)
    lines = []
    if "bits_per_byte" in metrics:
        # Fine-tuning trades plain text for answers, so pretraining is judged by the base model.
        base = metrics.get("bits_per_byte_base", metrics["bits_per_byte"])
        line = (
            f"held-out text: {base:.3f} bits per byte after pretraining "
            f"(xz -9 {metrics['xz_bits_per_byte']:.3f}, "
            f"byte bigrams {metrics['bigram_bits_per_byte']:.3f})"
        )
        if "bits_per_byte_base" in metrics:
            line += f", {metrics['bits_per_byte']:.3f} after {taught}"
        lines.append(line)
    if "chrf" in metrics:
        line = f"held-out questions: chrF {metrics['chrf']:.1f}"
        if "chrf_base" in metrics:
            line += f" (before {taught} {metrics['chrf_base']:.1f})"
        lines.append(line)
    if "names_object" in metrics:  # only where the questions say which object they ask for
        lines[-1] += f", {metrics['names_object']:.0%} of the answers name the right object"
    return "\n".join(lines)


def _overrides(flags: dict[str, Any]) -> dict[str, Any]:
    overrides = given_values(Recipe, flags)
    for name, model in PARTS.items():
        values = given_values(model, flags, prefix=f"{name}.")
        if values:
            overrides[name] = values
    return overrides


def _check_stage(name: str | None, recipe: Recipe) -> str | None:
    names = [stage.name for stage in stages_of(recipe)]
    if name is None or name in names:
        return name
    guess = nearest(name, names)
    raise UsageError(
        f"no stage '{name}' in this recipe" + (f"; did you mean '{guess}'?" if guess else ""),
        fix=f"one of: {', '.join(names)}",
    )


command = click.Command(
    "run",
    params=[
        click.Option(["--until"], metavar="STAGE", help="Stop after this stage."),
        click.Option(["--quiet"], is_flag=True, help="Show no progress."),
        *_recipe_options(),
        PRINT_CONFIG,
        DRY_RUN,
    ],
    callback=run,
    help=run.__doc__,
)
