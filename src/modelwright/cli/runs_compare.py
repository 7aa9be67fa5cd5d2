"""``modelwright runs compare``: runs side by side."""

from __future__ import annotations

import json

import click

from modelwright.cli.runs import columns_for, runs_here, table, written


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN RUN ...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(names: tuple[str, ...], as_json: bool) -> None:
    """Say in which settings runs differ, and what they reached.

    RUN is an id, the beginning of one, or a stage, which means its newest run. Settings of a run
    that is not finished are not known.
    """
    from modelwright.studio.training_runs import differences, named

    _, known = runs_here()
    runs = [named(name, known) for name in names]
    differing = differences(runs)
    summaries = [run.summary() for run in runs]
    if as_json:
        click.echo(json.dumps({"runs": summaries, "settings": differing}, indent=2))
        return
    measured = [
        [head, *(written(one[name], form) for one in summaries)]
        for head, name, form in columns_for(summaries)[1:]
    ]
    settings = [[name, *map(written, values)] for name, values in differing.items()]
    click.echo(table(["", *(run.id for run in runs)], measured + settings))
