"""``modelwright feedback export``: feedback as a file for training or another workspace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, get_args

import click

from modelwright.cli.feedback import feedback_here
from modelwright.core.errors import InputError
from modelwright.core.files import write_text
from modelwright.data.sources.settings import Take


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--as",
    "form",
    type=click.Choice([*get_args(Take), "all"]),
    required=True,
    help="What to write.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="For labels: share of its scale above which a rating is good, below which it is bad.",
)
def command(file: Path, form: Take | Literal["all"], threshold: float) -> None:
    """Write feedback into FILE, one JSON object to a line.

    pairs: prompt, chosen, rejected, of choices and corrections (for DPO and reward models). labels:
    prompt, completion, label, of thumbs and ratings (for KTO). corrections: messages (to fine-tune
    on). all: everything, to be imported elsewhere.
    """
    from modelwright.data.feedback.training_rows import TrainingRows, rows_as

    with feedback_here() as table:
        feedback = table.read()
    made = TrainingRows([one.model_dump() for one in feedback], {})
    if form != "all":
        made = rows_as(form, feedback, threshold)
    left_out = "; ".join(f"{reason}: {count:,}" for reason, count in made.left_out.items())
    if not made.rows:
        raise InputError(
            f"there is no feedback to export as {form}" + (f" ({left_out})" if left_out else ""),
            fix="see 'modelwright feedback stats'",
        )
    write_text(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made.rows))
    click.echo(f"{len(made.rows):,} rows in {file}")
    if left_out:
        click.echo(f"left out: {left_out}")
