"""``modelwright data look``: documents of a corpus with their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelwright.core.artifact import Artifact, open_artifact
from modelwright.core.workspace import find_workspace

SNIPPET = 300
"""Characters of a text that are printed."""


@click.command()
@click.argument("query", required=False, default="")
@click.option("--corpus", metavar="FOLDER", help="The corpus; by default the workspace's newest.")
@click.option(
    "--where",
    metavar="SQL",
    help="Condition on the scores, as \"words < 50 AND language = 'de'\".",
)
@click.option("--limit", type=click.IntRange(1), default=5, show_default=True, help="Most to show.")
@click.option("--columns", is_flag=True, help="Only list the columns of the corpus.")
def command(query: str, corpus: str | None, where: str | None, limit: int, columns: bool) -> None:
    """Print the documents that QUERY fits: part of a text, title or address, or an id."""
    from modelwright.data.look import look, score_columns

    artifact = open_corpus(corpus)
    if columns:
        click.echo("\n".join(score_columns(artifact.path)))
        return
    shown = 0
    for row in look(artifact.path, query, where):
        if shown == limit:
            click.echo(f"... and more; see --limit (now {limit})")
            return
        _print(row)
        shown += 1
    if not shown:
        click.echo("no document fits")


def open_corpus(folder: str | None) -> Artifact:
    """The corpus in a folder, or the one that the workspace scored last."""
    if folder is not None:
        return open_artifact(Path(folder), "corpus")
    from modelwright.pipeline.current import current_artifact

    return current_artifact(find_workspace(Path.cwd()), "annotate")


def _print(row: dict[str, Any]) -> None:
    text = " ".join(row.pop("text").split())
    name = row.pop("title") or row["url"]
    click.secho(f"{row.pop('id')}  {name}", bold=True)
    click.echo(f"  {text[:SNIPPET]}{'...' if len(text) > SNIPPET else ''}")
    known = [
        f"{column}={_short(value)}" for column, value in row.items() if value not in (None, "")
    ]
    click.echo(click.style("  " + "  ".join(known), dim=True) + "\n")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
