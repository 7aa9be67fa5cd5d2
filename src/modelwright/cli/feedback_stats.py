"""``modelwright feedback stats``: what feedback says as a whole."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from modelwright.cli.feedback import feedback_here, written_share
from modelwright.cli.runs import table as written_table

if TYPE_CHECKING:
    from modelwright.data.feedback.summary import Agreement, Duel, Summary

MOST_LINES = 10
"""Of pairs of people; with --json all are printed."""

NAMELESS = "(no name)"


@click.command("stats")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Count feedback by kind, model and person, and say which model wins and how far people agree.

    Wins are shares of the choices that were no tie, with Wilson's interval. Agreement is Cohen's
    kappa for two people and Fleiss' for more: 1 is full agreement, 0 no more than by chance.
    """
    from modelwright.data.feedback.summary import summarise

    with feedback_here() as table:
        summary = summarise(table.read())
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(summary), indent=2, ensure_ascii=False))
    elif not summary.kinds:
        click.echo("no feedback yet; see 'modelwright feedback import' and 'modelwright compare'")
    else:
        click.echo("\n\n".join(_sections(summary)))


def _sections(summary: Summary) -> list[str]:
    kinds = list(summary.kinds)
    by_model = [
        [model or NAMELESS, *(f"{counts.get(kind, 0):,}" for kind in kinds)]
        for model, counts in summary.models.items()
    ]
    sections = [
        _counts("kind", summary.kinds),
        written_table(["model", *kinds], by_model),
        _counts("person", summary.people),
    ]
    if summary.duels:
        sections.append("\n".join(map(_duel, summary.duels)))
    if summary.agreements:
        *of_two, last = summary.agreements
        shown = [*of_two[:MOST_LINES], last]
        sections.append("\n".join(map(_agreement, shown)))
    if summary.left:
        sections.append(
            f"the left answer was chosen in {written_share(summary.left)} "
            f"of {summary.left.total:,} choices"
        )
    return sections


def _counts(head: str, counts: Mapping[str, int]) -> str:
    rows = [[name or NAMELESS, f"{count:,}"] for name, count in counts.items()]
    return written_table([head, "feedback"], rows)


def _duel(duel: Duel) -> str:
    rate = f": wins {written_share(duel.rate)}" if duel.rate else ""
    ties = f", {duel.ties:,} ties" if duel.ties else ""
    return f"{duel.first} against {duel.second}{rate}; {duel.wins:,} to {duel.losses:,}{ties}"


def _agreement(agreement: Agreement) -> str:
    names = " and ".join(agreement.people)
    if len(agreement.people) > 2:
        names = f"all {len(agreement.people)} people"
    kappa = "not defined" if agreement.kappa is None else f"{agreement.kappa:.2f}"
    return f"agreement of {names} on {agreement.pairs:,} pairs: kappa {kappa}"
