"""``modelwright runs``: what was trained in a workspace, and how it went."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelwright.cli.verbs import Verbs
from modelwright.core.errors import ModelwrightError
from modelwright.core.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from modelwright.core.store import Store
    from modelwright.studio.training_runs import TrainingRun

COMMANDS = {
    "compare": ("modelwright.cli.runs_compare", "Settings that differ, and what came of it"),
    "page": ("modelwright.cli.runs_page", "Write a page of curves, several runs in one"),
}

COLUMNS = (
    ("run", "id", "{}"),
    ("status", "status", "{}"),
    ("steps", "steps", "{:,}"),
    ("tokens", "tokens", "{:,}"),
    ("seconds", "seconds", "{:,.1f}"),
    ("tokens/s", "tokens_per_second", "{:,.0f}"),
    ("loss", "loss", "{:.4f}"),
    ("held-out loss", "validation_loss", "{:.4f}"),
    ("bits per byte", "validation_bits_per_byte", "{:.4f}"),
    ("held-out accuracy", "validation_accuracy", "{:.1%}"),
    ("held-out reward", "validation_reward", "{:.4f}"),
)
"""Head, name in the summary, and how it is written."""


def runs_here() -> tuple[Workspace, list[TrainingRun]]:
    """The workspace around this folder and its training runs, newest first."""
    from modelwright.pipeline.recipe import load_recipe
    from modelwright.pipeline.runner import open_store
    from modelwright.studio.training_runs import training_runs

    workspace = find_workspace(Path.cwd())
    store = open_store(load_recipe(workspace.recipe), workspace)
    try:
        settle(workspace, store)
        return workspace, training_runs(workspace, store.runs())
    finally:
        store.close()


def settle(workspace: Workspace, store: Store) -> None:
    """Mark what a killed process left as running: where nobody holds the workspace, nobody runs."""
    if any(run.status == "running" for run in store.runs()):
        # Where nothing can be written, they are shown as they are.
        with suppress(ModelwrightError, OSError), workspace.lock():
            store.mark_interrupted()


def columns_for(summaries: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Those of ``COLUMNS`` that some run has a value for."""
    return [one for one in COLUMNS if any(run[one[1]] is not None for run in summaries)]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they must be; all but the first to the right."""
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    lines = []
    for row in (heads, *rows):
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def written(value: Any, form: str = "{}") -> str:
    """A value, or a dash where there is none."""
    return "–" if value is None else form.format(value)


@click.pass_context
def _list(context: click.Context, as_json: bool) -> None:
    if context.invoked_subcommand is not None:
        return
    _, runs = runs_here()
    summaries = [run.summary() for run in runs]
    if as_json:
        click.echo(json.dumps(summaries, indent=2))
    elif not summaries:
        click.echo("no training runs yet; run 'modelwright run'")
    else:
        columns = columns_for(summaries)
        rows = [[written(one[name], form) for _, name, form in columns] for one in summaries]
        click.echo(table([head for head, _, _ in columns], rows))


command = Verbs(
    "runs",
    verbs=COMMANDS,
    invoke_without_command=True,
    callback=_list,
    params=[click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")],
    help="Training runs of the workspace, newest first; those that were cut off too.",
)
