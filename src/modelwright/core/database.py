"""A connection to the workspace's database, SQLite or PostgreSQL."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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


class Database:
    """A database with the tables that one part of the program keeps in it.

    Parameters
    ----------
    url : str
        A SQLAlchemy database URL (see :func:`sqlite_url`).
    tables : sqlalchemy.MetaData
        Made where they are missing; others in the same database are left alone.

    Every method raises a :class:`ModelwrightError` when the database cannot be reached or written.

    Raises
    ------
    UsageError
        If the URL cannot be used.
    """

    def __init__(self, url: str, tables: sql.MetaData):
        self._engine = _connect(url)
        with self.transaction() as connection:
            tables.create_all(connection)
            inspector = sql.inspect(connection)
            fits = all(
                {column["name"] for column in inspector.get_columns(table.name)}
                >= set(table.columns.keys())
                for table in tables.sorted_tables
            )
        if not fits:
            raise ModelwrightError(
                "the database has tables of another version or program",
                where=self._where,
                fix="name another one, or move it away; it holds only runs, measurements "
                "and feedback",
            )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection whose changes are kept together; what goes wrong is said in our terms."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise self._explained(error) from None

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @property
    def _where(self) -> str:
        return self._engine.url.render_as_string(hide_password=True)

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
