"""Databases to test on: SQLite, and PostgreSQL where Debian's package is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sql

from modelwright.core.database import sqlite_url


def server_programs() -> Path | None:
    """The folder of initdb and pg_ctl, newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of an empty database that listens on a socket in a temporary folder only."""
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    # The server refuses to run as root; Debian's package brings an account for it.
    as_root = os.geteuid() == 0
    account = "postgres" if as_root else pwd.getpwuid(os.geteuid()).pw_name
    prefix = (
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if as_root else []
    )
    folder = Path(tempfile.mkdtemp(prefix="mw-postgres-"))
    if as_root:
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"

    def run(*command: str | Path) -> None:
        subprocess.run(
            [*prefix, *map(str, command)], check=True, cwd=folder, stdout=subprocess.DEVNULL
        )

    try:
        run(programs / "initdb", "-D", data, "-A", "trust", "-U", account, "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        run(programs / "pg_ctl", "-D", data, "-o", options, "-w", "-l", folder / "log", "start")
        yield f"postgresql+psycopg://{account}@/postgres?host={folder}"
        run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database with nothing in it."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "store.db")
    url: str = request.getfixturevalue("postgres_url")
    engine = sql.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sql.text("DROP SCHEMA public CASCADE"))
        connection.execute(sql.text("CREATE SCHEMA public"))
    engine.dispose()
    return url
