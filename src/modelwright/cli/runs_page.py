"""``modelwright runs page``: curves of training runs in one file."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from modelwright.cli.runs import runs_here
from modelwright.core.errors import UsageError

PAGE = "runs.html"


@click.command()
@click.argument("names", nargs=-1, metavar="[RUN ...]")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="The page to write.")
@click.option("--open/--no-open", "open_browser", default=False, help="Open it in a browser.")
def command(names: tuple[str, ...], out: Path | None, open_browser: bool) -> None:
    """Write a page with the curves of each RUN, by default of the newest ones.

    RUN is an id, the beginning of one, or a stage, which means its newest run. The page is one file
    and needs no network; by default it is runs.html in the workspace.
    """
    from modelwright.pipeline.recipe import load_recipe
    from modelwright.studio.charts import SERIES
    from modelwright.studio.runs_page import write_runs_page
    from modelwright.studio.training_runs import named

    workspace, known = runs_here()
    runs = [named(name, known) for name in names] or known[: len(SERIES)]
    if not runs:
        raise UsageError("no training runs yet", fix="run 'modelwright run' first")
    if len(runs) > len(SERIES):
        raise UsageError(f"a page holds at most {len(SERIES)} runs", fix="name fewer")
    path = out or workspace.root / PAGE
    write_runs_page(path, runs, load_recipe(workspace.recipe).name)
    click.echo(path)
    if open_browser:
        webbrowser.open(path.resolve().as_uri())
