"""``modelwright demo``: the whole way in one command, with the Python documentation."""

from __future__ import annotations

from pathlib import Path

import click

from modelwright.cli.init import create_workspace
from modelwright.core.progress import make_progress
from modelwright.core.workspace import Workspace


@click.command()
@click.argument("folder", default="modelwright-demo", type=click.Path(path_type=Path))
@click.option("--budget", metavar="TEXT", help="Time for building; by default 5 minutes.")
@click.option("--port", default=8000, show_default=True, help="Port of the chat page.")
@click.option("--serve/--no-serve", default=True, help="Open the chat page when it is built.")
@click.option("--open/--no-open", "open_browser", default=True, help="Open it in a browser.")
def command(folder: Path, budget: str | None, port: int, serve: bool, open_browser: bool) -> None:
    """Build a small model of Python's documentation in FOLDER, then open a page to chat with it.

    Needs no network and asks nothing. Run again, it goes on where it was cut off.
    """
    from modelwright.cli.run import bring_up_to_date
    from modelwright.pipeline.recipe import load_recipe

    workspace = Workspace(folder)
    if not workspace.recipe.is_file():
        create_workspace(folder, (), (), budget or "5 minutes", "python-docs")
    recipe = load_recipe(workspace.recipe, {"budget": budget} if budget else None)
    with workspace.lock():
        artifacts = bring_up_to_date(recipe, workspace, make_progress())
    if not serve:
        return
    from modelwright.serving.server import serve as serve_model

    model = [artifact for artifact in artifacts if artifact.kind == "model"][-1]
    serve_model(model.path, port=port, name=recipe.name, open_browser=open_browser)
