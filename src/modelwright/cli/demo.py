"""``modelwright demo``: the whole way in one command, with the Python documentation."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from modelwright.cli.init import new_recipe, parse_recipe, write_recipe
from modelwright.core.progress import make_progress
from modelwright.core.workspace import Workspace


@click.command()
@click.argument("folder", default="modelwright-demo", type=click.Path(path_type=Path))
@click.option("--budget", metavar="TEXT", help="Time for building; by default 5 minutes.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port of the chat page; 0 takes any free port.",
)
@click.option("--serve/--no-serve", default=True, help="Open the chat page when it is built.")
@click.option("--open/--no-open", "open_browser", default=True, help="Open it in a browser.")
@click.option("--print-config", is_flag=True, help="Print the settings in full and stop.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and stop.")
def command(
    folder: Path,
    budget: str | None,
    port: int,
    serve: bool,
    open_browser: bool,
    print_config: bool,
    dry_run: bool,
) -> None:
    """Build a small model of Python's documentation in FOLDER, then open a page to chat with it.

    Needs no network and asks nothing. Run again, it goes on where it was cut off.
    """
    from modelwright.cli.run import bring_up_to_date, print_plan
    from modelwright.pipeline.plan import make_plan
    from modelwright.pipeline.recipe import load_recipe, to_yaml

    workspace = Workspace(folder)
    text = None
    if workspace.recipe.is_file():
        recipe = load_recipe(workspace.recipe, {"budget": budget} if budget else None)
    else:
        text = new_recipe(folder, (), (), budget or "5 minutes", "python-docs")
        recipe = parse_recipe(text)
    if print_config:
        click.echo(to_yaml(recipe), nl=False)
        return
    if dry_run:
        print_plan(make_plan(recipe, workspace.artifacts()))
        return
    if serve:
        _check_port(port)
    if text is not None:
        write_recipe(folder, text)
    with workspace.lock():
        artifacts = bring_up_to_date(recipe, workspace, make_progress())
    if not serve:
        return
    from modelwright.data.feedback.table import open_feedback
    from modelwright.serving.opening import ServeOptions
    from modelwright.serving.server import serve as serve_model

    model = [artifact for artifact in artifacts if artifact.kind == "model"][-1]
    with closing(open_feedback(workspace)) as feedback:
        options = ServeOptions(feedback=feedback, open_browser=open_browser)
        serve_model({recipe.name: model.path}, port=port, options=options)


def _check_port(port: int) -> None:
    """Refuse a port that is in use now, and not only when the model is built."""
    from modelwright.serving.server import listen

    listen("127.0.0.1", port).close()
