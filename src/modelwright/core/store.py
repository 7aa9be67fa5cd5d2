"""The workspace's database: runs and their measurements, in SQLite or PostgreSQL."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sql

from modelwright.core.clock import now
from modelwright.core.database import Database

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

    def start_run(self, stage: str, artifact: str) -> int:
        """Record that a stage begins; returns the run's id."""
        with self._database.transaction() as connection:
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
        with self._database.transaction() as connection:
            connection.execute(
                _runs.update()
                .where(_runs.c.id == run)
                .values(status=status, ended=now(), message=message)
            )

    def mark_interrupted(self) -> int:
        """Mark runs that never ended; to be called by whoever holds the workspace's lock."""
        with self._database.transaction() as connection:
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
        with self._database.transaction() as connection:
            return [Run(**row._mapping) for row in connection.execute(query)]

    def log_metrics(self, artifact: str, step: int, values: Mapping[str, float]) -> None:
        """Keep measurements of a step; a repeated step (after a resume) replaces the old ones."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        if not finite:
            return
        same_step = self._of(artifact) & (_metrics.c.step == step)
        with self._database.transaction() as connection:
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
        with self._database.transaction() as connection:
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
        with self._database.transaction() as connection:
            return [(int(step), float(value)) for step, value in connection.execute(query)]

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    def _of(self, artifact: str) -> sql.ColumnElement[bool]:
        return (_metrics.c.workspace == self._workspace) & (_metrics.c.artifact == artifact)
