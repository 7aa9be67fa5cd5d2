"""``modelwright show``: what there is in a workspace."""

from __future__ import annotations

import json
from pathlib import Path

import click

from modelwright.cli.stage import describe
from modelwright.core.artifact import Artifact
from modelwright.core.workspace import Workspace, find_workspace
from modelwright.studio.lineage import Node, lineage


@click.command()
@click.argument("name", required=False, metavar="[ARTIFACT]")
@click.option("--runs", is_flag=True, help="Show every run and how it ended.")
@click.option("--check", is_flag=True, help="Hash the files again and compare with the manifest.")
def command(name: str | None, runs: bool, check: bool) -> None:
    """Show the workspace's artifacts and lineage, its runs, or one ARTIFACT's manifest.

    ARTIFACT is an id (or its beginning) or a stage, which means its artifact that is up to date
    with the recipe, or else its newest.
    """
    from modelwright.pipeline.current import current_artifact

    workspace = find_workspace(Path.cwd())
    if runs:
        _show_runs(workspace)
    elif name is not None:
        _show_manifest(current_artifact(workspace, name), check)
    else:
        _show_artifacts(workspace, check)


def _show_artifacts(workspace: Workspace, check: bool) -> None:
    artifacts = workspace.artifacts()
    if not artifacts:
        click.echo("no artifacts yet; run 'modelwright run'")
        return
    click.echo(click.style("artifacts", bold=True))
    width = max(len(artifact.id) for artifact in artifacts)
    for artifact in artifacts:
        click.echo(f"  {artifact.id:<{width}}  {artifact.kind:<10} {describe(artifact)}")
        if check:
            _print_check(artifact)
    click.echo(click.style("\nlineage", bold=True))
    for root in lineage(artifacts):
        _print_tree(root, "  ")


def _print_tree(node: Node, indent: str) -> None:
    """Print an artifact and below it what it was made from."""
    remark = " (above)" if node.is_repeated else "" if node.stage else " (outside the workspace)"
    click.echo(f"{indent}{node.id}{remark}")
    for parent in node.parents:
        _print_tree(parent, indent + "  ")


def _show_manifest(artifact: Artifact, check: bool) -> None:
    click.echo(json.dumps(artifact.manifest.model_dump(), indent=2, ensure_ascii=False))
    if check:
        _print_check(artifact)


def _print_check(artifact: Artifact) -> None:
    changed = artifact.changed_files()
    text = f"changed since it was made: {', '.join(changed)}" if changed else "files as made"
    click.secho(f"    {text}", fg="red" if changed else "green")


def _show_runs(workspace: Workspace) -> None:
    from modelwright.cli.runs import settle
    from modelwright.pipeline.recipe import load_recipe
    from modelwright.pipeline.runner import open_store

    store = open_store(load_recipe(workspace.recipe), workspace)
    settle(workspace, store)
    for run in store.runs():
        message = f"  {run.message.splitlines()[0]}" if run.message else ""
        click.echo(f"  {run.id:>4}  {run.started}  {run.artifact:<26} {run.status}{message}")
    store.close()
