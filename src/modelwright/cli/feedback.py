"""``modelwright feedback``: what people think of answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelwright.cli.verbs import Verbs
from modelwright.core.errors import ModelwrightError, UsageError
from modelwright.core.workspace import find_workspace

if TYPE_CHECKING:
    from modelwright.data.feedback.agreement import Share
    from modelwright.data.feedback.table import FeedbackTable

COMMANDS = {
    "import": ("modelwright.cli.feedback_import", "Take in feedback from a .jsonl file"),
    "export": ("modelwright.cli.feedback_export", "Write pairs, labels, corrections or all of it"),
    "stats": ("modelwright.cli.feedback_stats", "Counts, wins, agreement between people"),
}


@contextmanager
def feedback_here() -> Iterator[FeedbackTable]:
    """The feedback of the workspace around this folder."""
    from modelwright.data.feedback.table import open_feedback

    table = open_feedback(find_workspace(Path.cwd()))
    try:
        yield table
    finally:
        table.close()


@contextmanager
def chat_feedback() -> Iterator[FeedbackTable | None]:
    """The same for those who talk to a model, which needs neither workspace nor database."""
    from modelwright.data.feedback.table import open_feedback

    table = None
    try:
        workspace = find_workspace(Path.cwd())
    except UsageError:
        workspace = None  # a model's folder can be talked to anywhere
    if workspace is not None:
        try:
            table = open_feedback(workspace)
        except (ModelwrightError, OSError) as error:
            click.echo(f"no feedback will be kept: {error}", err=True)
    try:
        yield table
    finally:
        if table is not None:
            table.close()


def written_share(share: Share) -> str:
    """A share and how sure it is."""
    value, low, high = (f"{100 * part:.0f} %" for part in (share.value, share.low, share.high))
    return f"{value} (95 % interval {low} to {high})"


command = Verbs(
    "feedback",
    verbs=COMMANDS,
    help="What people think of answers: thumbs, ratings, corrections, choices between two.",
)
