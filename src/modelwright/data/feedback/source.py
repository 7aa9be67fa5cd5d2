"""Feedback as a source of examples: the rows of a workspace, and whether there is more of it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from modelwright.core.errors import InputError
from modelwright.core.examples import Row
from modelwright.core.files import sha256_json
from modelwright.core.workspace import Workspace, find_workspace
from modelwright.data.drops import Drops
from modelwright.data.example_rows import shaped
from modelwright.data.feedback.table import open_feedback
from modelwright.data.feedback.training_rows import rows_as
from modelwright.data.shapes.fields import BadRowError
from modelwright.data.sources.settings import BadRows, FeedbackExamples

SOURCE = "feedback"


def fingerprint_feedback(source: FeedbackExamples) -> str:
    """Hash of the ids of all of it; makes no file."""
    workspace = _workspace(source)
    if not workspace.has_identity:
        return sha256_json([])
    with closing(open_feedback(workspace)) as table:
        return sha256_json(table.ids())


def read_feedback_rows(source: FeedbackExamples, bad_rows: BadRows, drops: Drops) -> list[Row]:
    """The rows that feedback becomes, as those of a file (:mod:`modelwright.data.example_rows`).

    Parameters
    ----------
    source : FeedbackExamples
        Whose, and as what it is to be taken.
    bad_rows : {"refuse", "drop"}
        Whether a conversation that cannot be trained on ends it all, or is counted.
    drops : Drops
        Where to count what becomes no row.

    Raises
    ------
    InputError
        If there is no row, or one is not as it should be.
    """
    with closing(open_feedback(_workspace(source))) as table:
        taken = rows_as(source.take, table.read(), source.threshold)
    for reason, count in taken.left_out.items():
        for _ in range(count):
            drops.add(reason)
    rows = list[Row]()
    for number, given in enumerate(taken.rows, start=1):
        try:
            row = shaped(given, chat=False, unused=set())
        except BadRowError as error:
            place = f"row {number} of what feedback gives as {source.take}"
            if bad_rows == "refuse":
                raise InputError(
                    f"field '{error.field}' {error.problem}" if error.field else error.problem,
                    where=place,
                    fix=f"see it with 'modelwright feedback export --as {source.take}'; or leave "
                    "such rows out and count them with bad_rows: drop",
                ) from None
            drops.add(error.reason, place)
            continue
        rows.append({**row, "source": SOURCE, "licence": source.licence})
    if not rows:
        raise InputError(
            f"there is no feedback that can be taken as {source.take}",
            where=source.workspace,
            fix="see 'modelwright feedback stats'; give some with 'modelwright compare' or "
            "'modelwright feedback import'",
        )
    return rows


def _workspace(source: FeedbackExamples) -> Workspace:
    if source.workspace is None:
        return find_workspace(Path.cwd())
    workspace = Workspace(Path(source.workspace))
    if not workspace.recipe.is_file():
        raise InputError(
            f"no workspace here: found no {workspace.recipe.name}",
            where=workspace.root,
            fix="correct 'workspace' of the feedback, or leave it out",
        )
    return workspace
