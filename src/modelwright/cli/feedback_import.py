"""``modelwright feedback import``: feedback from a file."""

from __future__ import annotations

from pathlib import Path

import click

from modelwright.cli.feedback import feedback_here


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--person", default="", help="Who gave the feedback, where the rows do not say so.")
def command(file: Path, person: str) -> None:
    """Take in the feedback of FILE, one JSON object to a line.

    Rows have "prompt" (a text or messages) with "chosen" and "rejected"; or with "completion" and
    one of "label", "rating" and "scale", "correction"; or are what 'feedback export --as all'
    writes. A file with a bad row is refused as a whole; nothing is stored twice.
    """
    from modelwright.data.feedback.read import read_feedback
    from modelwright.data.feedback.record import checked_name

    with feedback_here() as table:
        found = read_feedback(file, checked_name(person))
        added = table.add(found.feedback)
    known = len(found.feedback) - added
    click.echo(f"{added:,} new" + (f", {known:,} known already" if known else ""))
    if found.unused:
        fields = ", ".join(f"{name} ({count:,} rows)" for name, count in found.unused.items())
        click.echo(f"fields that were not used: {fields}")
