"""The table of requests and answers in a workspace's database, without personal data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite

from modelwright.core.database import Database
from modelwright.data.personal_data.redact import redact

ID_CHARACTERS = 128

SHORT = 32
"""Characters of a text that may come again and again, as roles and names of fields."""

_tables = sql.MetaData()

_requests = sql.Table(
    "requests",
    _tables,
    sql.Column("workspace", sql.String(64), primary_key=True),
    sql.Column("id", sql.String(ID_CHARACTERS), primary_key=True),
    sql.Column("created", sql.String(32), primary_key=True),
    sql.Column("model", sql.Text, nullable=False),
    sql.Column("route", sql.Text, nullable=False),
    sql.Column("key_name", sql.Text),
    sql.Column("prompt", sql.JSON, nullable=False),
    sql.Column("answers", sql.JSON, nullable=False),
    sql.Column("prompt_tokens", sql.Integer, nullable=False),
    sql.Column("generated_tokens", sql.Integer, nullable=False),
    sql.Column("seconds", sql.Double, nullable=False),
    sql.Column("finish_reason", sql.Text),
)


@dataclass(frozen=True)
class LoggedRequest:
    """One request and what was answered.

    Attributes
    ----------
    id : str
        Of the request, as its answer had it in ``X-Request-Id``; feedback can name it.
    created : str
        When it came, ISO 8601; clients may use an id twice.
    model, route : str
        Who answered, where.
    key_name : str or None
        Name of its key.
    prompt : list
        Messages or texts.
    answers : list of str
        One for each choice.
    prompt_tokens, generated_tokens : int
        Numbers of tokens.
    seconds : float
        From its beginning to its end.
    finish_reason : str or None
        Why the choices ended.
    """

    id: str
    created: str
    model: str
    route: str
    key_name: str | None
    prompt: list[Any]
    answers: list[str]
    prompt_tokens: int
    generated_tokens: int
    seconds: float
    finish_reason: str | None

    def redacted(self) -> LoggedRequest:
        """With placeholders for personal data and secrets in all its texts."""
        fields = asdict(self)
        fields |= {name: _redacted(fields[name]) for name in ("prompt", "answers")}
        return LoggedRequest(**fields)


class RequestTable:
    """The logged requests of one workspace; others may use the same database.

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

    def add(self, requests: Iterable[LoggedRequest]) -> None:
        """Keep all of them or, if that fails, none; one that is there already is left as it is."""
        rows = [{"workspace": self._workspace, **asdict(one)} for one in requests]
        if not rows:
            return
        with self._database.transaction() as connection:
            is_postgres = connection.dialect.name == "postgresql"
            insert = postgresql.insert(_requests) if is_postgres else sqlite.insert(_requests)
            connection.execute(insert.on_conflict_do_nothing(), rows)

    def read(self) -> list[LoggedRequest]:
        """All of them in the order of time."""
        return self._read(sql.true())

    def find(self, id: str) -> list[LoggedRequest]:
        """Those of an id: none, one, or more if a client used it again."""
        return self._read(_requests.c.id == id)

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    def _read(self, which: sql.ColumnElement[bool]) -> list[LoggedRequest]:
        columns = [column for column in _requests.columns if column.name != "workspace"]
        query = (
            sql.select(*columns)
            .where((_requests.c.workspace == self._workspace) & which)
            .order_by(_requests.c.created, _requests.c.id)
        )
        with self._database.transaction() as connection:
            return [LoggedRequest(**row._mapping) for row in connection.execute(query)]


@lru_cache(maxsize=4096)
def _redact_short(text: str) -> str:
    return redact(text).text


def _redacted(value: Any) -> Any:
    """The same with every text in it redacted, however deep it lies."""
    if isinstance(value, str):
        return _redact_short(value) if len(value) <= SHORT else redact(value).text
    if isinstance(value, list):
        return [_redacted(one) for one in value]
    if isinstance(value, dict):
        return {_redacted(name): _redacted(one) for name, one in value.items()}
    return value
