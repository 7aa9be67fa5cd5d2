"""The workspace's database: runs and their measurements, in SQLite or PostgreSQL."""

from __future__ import annotations

import errno
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from modelwright.core.errors import (
    MissingExtraError,
    ModelwrightError,
    UsageError,
    from_os_error,
)

SQLITE_LEAST_SPACE = 65_536
"""Bytes that SQLite's write-ahead log and shared memory need to begin."""

_tables = sql.MetaData()

_runs = sql.Table(
    "runs",
    _tables,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("workspace", sql.String(64), nullable=False, index=True),
    sql.Column("stage", sql.String(64), nullable=False),
    sql.Column("artifact", sql.String(128), nullable=False, index=True),
    sql.Column("status", sql.String(16), nullable=False),
    sql.Column("started", sql.String(32), nullable=False),
    sql.Column("ended", sql.String(32)),
    sql.Column("message", sql.Text),
)

_metrics = sql.Table(
    "metrics",
    _tables,
    sql.Column("workspace", sql.String(64), primary_key=True),
    sql.Column("artifact", sql.String(128), primary_key=True),
    sql.Column("name", sql.String(64), primary_key=True),
    sql.Column("step", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("value", sql.Double, nullable=False),
)


@dataclass(frozen=True)
class Run:
    """One execution of a stage; ``status`` is running, finished, failed or interrupted."""

    id: int
    stage: str
    artifact: str
    status: str
    started: str
    ended: str | None
    message: str | None


class Store:
    """Keeps runs and measurements of one workspace; others may use the same database.

    Parameters
    ----------
    url : str
        A SQLAlchemy database URL (see :func:`sqlite_url`).
    workspace : str
        The workspace's own id.

    Every method raises a :class:`ModelwrightError` when the database cannot be reached or written.

    Raises
    ------
    UsageError
        If the URL cannot be used.
    """

    def __init__(self, url: str, workspace: str):
        self._engine = _connect(url)
        self._workspace = workspace
        with self._connection() as connection:
            _tables.create_all(connection)
            inspector = sql.inspect(connection)
            fits = all(
                {column["name"] for column in inspector.get_columns(table.name)}
                >= set(table.columns.keys())
                for table in _tables.sorted_tables
            )
        if not fits:
            raise ModelwrightError(
                "the database has tables of another version or program",
                where=self._where,
                fix="name another one, or move it away; it holds only runs and measurements",
            )

    def start_run(self, stage: str, artifact: str) -> int:
        """Record that a stage begins; returns the run's id."""
        with self._connection() as connection:
            result = connection.execute(
                _runs.insert().values(
                    workspace=self._workspace,
                    stage=stage,
                    artifact=artifact,
                    status="running",
                    started=now(),
                )
            )
            key = result.inserted_primary_key
            assert key is not None  # an insert of one row always has one
            return int(key[0])

    def end_run(self, run: int, status: str, message: str | None = None) -> None:
        """Record how a run ended."""
        with self._connection() as connection:
            connection.execute(
                _runs.update()
                .where(_runs.c.id == run)
                .values(status=status, ended=now(), message=message)
            )

    def mark_interrupted(self) -> int:
        """Mark runs that never ended; to be called by whoever holds the workspace's lock."""
        with self._connection() as connection:
            result = connection.execute(
                _runs.update()
                .where((_runs.c.workspace == self._workspace) & (_runs.c.status == "running"))
                .values(status="interrupted")
            )
            return result.rowcount

    def runs(self, artifact: str | None = None) -> list[Run]:
        """Runs in the order they began, of one artifact or of all."""
        columns = [column for column in _runs.columns if column.name != "workspace"]
        query = (
            sql.select(*columns).where(_runs.c.workspace == self._workspace).order_by(_runs.c.id)
        )
        if artifact is not None:
            query = query.where(_runs.c.artifact == artifact)
        with self._connection() as connection:
            return [Run(**row._mapping) for row in connection.execute(query)]

    def log_metrics(self, artifact: str, step: int, values: Mapping[str, float]) -> None:
        """Keep measurements of a step; a repeated step (after a resume) replaces the old ones."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        if not finite:
            return
        same_step = self._of(artifact) & (_metrics.c.step == step)
        with self._connection() as connection:
            connection.execute(
                _metrics.delete().where(same_step & _metrics.c.name.in_(list(finite)))
            )
            connection.execute(
                _metrics.insert(),
                [
                    {
                        "workspace": self._workspace,
                        "artifact": artifact,
                        "name": name,
                        "step": step,
                        "value": float(value),
                    }
                    for name, value in finite.items()
                ],
            )

    def delete_metrics_from(self, artifact: str, step: int) -> None:
        """Forget measurements of this step and later ones, before they are made again."""
        with self._connection() as connection:
            connection.execute(
                _metrics.delete().where(self._of(artifact) & (_metrics.c.step >= step))
            )

    def metrics(self, artifact: str, name: str) -> list[tuple[int, float]]:
        """One measurement's (step, value) pairs by step."""
        query = (
            sql.select(_metrics.c.step, _metrics.c.value)
            .where(self._of(artifact) & (_metrics.c.name == name))
            .order_by(_metrics.c.step)
        )
        with self._connection() as connection:
            return [(int(step), float(value)) for step, value in connection.execute(query)]

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def _of(self, artifact: str) -> sql.ColumnElement[bool]:
        return (_metrics.c.workspace == self._workspace) & (_metrics.c.artifact == artifact)

    @property
    def _where(self) -> str:
        return self._engine.url.render_as_string(hide_password=True)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """A transaction; what goes wrong in it is said in our terms."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise self._explained(error) from None

    def _explained(self, error: SQLAlchemyError) -> ModelwrightError:
        where = self._where
        if _is_disk_full(error, self._engine.url.database):
            return from_os_error(OSError(errno.ENOSPC, "", where))
        fix = "check that the server runs and that the URL in the recipe is right"
        if self._engine.dialect.name == "sqlite":
            fix = "check that there is space and that the file can be written, then run again"
        return ModelwrightError(
            f"the database cannot be used: {_first_line(error)}", where=where, fix=fix
        )


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{path}"


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond: small stages take less than a second."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _connect(url: str) -> Engine:
    try:
        engine = sql.create_engine(url)
    except (ArgumentError, NoSuchModuleError):
        raise UsageError(
            "the store's URL cannot be read",
            fix="write sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE",
        ) from None
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "psycopg", "postgres") from None
    if engine.dialect.name == "sqlite":
        sql.event.listen(engine, "connect", _tune_sqlite)
    return engine


def _tune_sqlite(connection: Any, _record: Any) -> None:
    # WAL lets readers (show, the server) work while a run writes.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA busy_timeout=5000")


def _is_disk_full(error: SQLAlchemyError, database: str | None) -> bool:
    name = str(getattr(getattr(error, "orig", None), "sqlite_errorname", ""))
    if name == "SQLITE_FULL":
        return True
    # SQLite's shared memory beside the file fails with an error of input and output instead.
    is_io = name.startswith("SQLITE_IOERR") and database is not None
    return is_io and shutil.disk_usage(Path(str(database)).parent).free < SQLITE_LEAST_SPACE


def _first_line(error: SQLAlchemyError) -> str:
    return str(error).splitlines()[0]
