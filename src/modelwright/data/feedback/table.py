"""The table of feedback in a workspace's database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite

from modelwright.core.database import Database
from modelwright.core.workspace import Workspace
from modelwright.data.feedback.record import ID_DIGITS, Feedback, Source, feedback_of, id_of

_tables = sql.MetaData()

_feedback = sql.Table(
    "feedback",
    _tables,
    sql.Column("workspace", sql.String(64), primary_key=True),
    sql.Column("id", sql.String(ID_DIGITS), primary_key=True),
    sql.Column("created", sql.String(32), nullable=False),
    sql.Column("person", sql.Text, nullable=False),
    sql.Column("source", sql.String(16), nullable=False),
    sql.Column("kind", sql.String(16), nullable=False),
    sql.Column("prompt", sql.JSON, nullable=False),
    sql.Column("answers", sql.JSON, nullable=False),
    sql.Column("verdict", sql.JSON, nullable=False),
    sql.Column("comment", sql.Text, nullable=False),
)

_COMMON = ("created", "person", "source", "kind", "prompt", "comment")
"""What every kind has; ``verdict`` holds the rest but for the answers."""


def open_feedback(workspace: Workspace) -> FeedbackTable:
    """The feedback of a workspace; to be closed.

    Raises
    ------
    ModelwrightError
        If its recipe or its database cannot be used.
    """
    return FeedbackTable(workspace.store_url(), workspace.identity())


class FeedbackTable:
    """The feedback of one workspace; others may use the same database.

    Parameters
    ----------
    url : str
        A SQLAlchemy database URL (see :func:`modelwright.core.database.sqlite_url`).
    workspace : str
        The workspace's own id.

    Every method raises a :class:`ModelwrightError` when the database cannot be reached or written.

    Raises
    ------
    UsageError
        If the URL cannot be used.
    """

    def __init__(self, url: str, workspace: str):
        self._database = Database(url, _tables)
        self._workspace = workspace

    def add(self, feedback: Iterable[Feedback]) -> int:
        """Keep all of it or, if that fails, none; returns how much was new.

        What a person has said of the same answers before is left as it is (see
        :func:`modelwright.data.feedback.record.id_of`).
        """
        rows = [{"workspace": self._workspace, **_row_of(one)} for one in feedback]
        if not rows:
            return 0
        with self._database.transaction() as connection:
            is_postgres = connection.dialect.name == "postgresql"
            insert = postgresql.insert(_feedback) if is_postgres else sqlite.insert(_feedback)
            added = insert.on_conflict_do_nothing().returning(_feedback.c.id)
            return len(connection.execute(added, rows).all())

    def read(self) -> list[Feedback]:
        """All of it in the order of time."""
        query = (
            sql.select(_feedback)
            .where(_feedback.c.workspace == self._workspace)
            .order_by(_feedback.c.created, _feedback.c.id)
        )
        with self._database.transaction() as connection:
            return [_feedback_of(row._asdict()) for row in connection.execute(query)]

    def ids(self) -> list[str]:
        """Of all of it, in alphabetical order."""
        query = (
            sql.select(_feedback.c.id)
            .where(_feedback.c.workspace == self._workspace)
            .order_by(_feedback.c.id)
        )
        with self._database.transaction() as connection:
            return list(connection.execute(query).scalars())

    def remove(self, feedback: Feedback) -> None:
        """Forget what was taken back."""
        own = _feedback.c.workspace == self._workspace
        with self._database.transaction() as connection:
            connection.execute(_feedback.delete().where(own & (_feedback.c.id == id_of(feedback))))

    def take_back(self, id: str, source: Source) -> bool:
        """Forget what was given there under that id; returns whether there was such a thing."""
        one = (
            (_feedback.c.workspace == self._workspace)
            & (_feedback.c.id == id)
            & (_feedback.c.source == source)
        )
        with self._database.transaction() as connection:
            gone = connection.execute(_feedback.delete().where(one).returning(_feedback.c.id))
            return bool(gone.all())

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()


def _row_of(feedback: Feedback) -> dict[str, Any]:
    fields = feedback.model_dump()
    common = {name: fields.pop(name) for name in _COMMON}
    answers = [fields.pop("answer")] if "answer" in fields else fields.pop("answers")
    return {"id": id_of(feedback), **common, "answers": answers, "verdict": fields}


def _feedback_of(row: Mapping[str, Any]) -> Feedback:
    answers = row["answers"]
    answered = {"answers": answers} if row["kind"] == "choice" else {"answer": answers[0]}
    return feedback_of({name: row[name] for name in _COMMON} | answered | row["verdict"])
