"""A workspace: a folder with the recipe, the artifacts and the database."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from modelwright.core.artifact import MANIFEST, Artifact, read_manifest
from modelwright.core.errors import InputError, UsageError, WorkspaceBusyError
from modelwright.core.files import write_text
from modelwright.core.settings import load_yaml

RECIPE = "modelwright.yaml"
DATABASE = "modelwright.db"
ARTIFACTS = "artifacts"
REPORT = "report.html"
IDENTITY = ".modelwright.id"


@dataclass(frozen=True)
class Workspace:
    """Paths of a workspace and the artifacts in it."""

    root: Path

    @property
    def recipe(self) -> Path:
        """The recipe file."""
        return self.root / RECIPE

    @property
    def database(self) -> Path:
        """The SQLite file, where no other store is named."""
        return self.root / DATABASE

    @property
    def artifacts_folder(self) -> Path:
        """Where artifacts lie, one folder each, named by id."""
        return self.root / ARTIFACTS

    @property
    def has_identity(self) -> bool:
        """Whether it has an id already; if not, no database holds anything of it."""
        return (self.root / IDENTITY).is_file()

    def identity(self) -> str:
        """A random id of the workspace, made at first use.

        It tells workspaces apart that share a database, also when their recipes have one name.
        """
        path = self.root / IDENTITY
        if not self.has_identity:
            write_text(path, secrets.token_hex(16) + "\n")
        return path.read_text(encoding="utf-8").strip()

    def store_url(self) -> str:
        """Where its database is: as the recipe says, or its SQLite file.

        Raises
        ------
        UsageError
            If the recipe cannot be read.
        """
        from modelwright.core.database import sqlite_url  # loads sqlalchemy

        recipe, lines = load_yaml(self.recipe)
        named = recipe.get("store") if isinstance(recipe, dict) else None
        if named is not None and not isinstance(named, str):
            raise UsageError(
                f"'store' is {named!r}, not a database URL",
                where=f"{self.recipe}, line {lines[('store',)]}",
                fix="write sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE",
            )
        return named or sqlite_url(self.database)

    def artifacts(self) -> list[Artifact]:
        """All finished artifacts, oldest first."""
        found = [
            Artifact(path.parent, read_manifest(path.parent))
            for path in self.artifacts_folder.glob(f"*/{MANIFEST}")
            if not path.parent.name.endswith(".partial")
        ]
        return sorted(found, key=lambda artifact: (artifact.manifest.created, artifact.id))

    def artifact(self, name: str) -> Artifact:
        """The artifact of that id (or an unambiguous beginning of it), or the newest of a stage.

        Raises
        ------
        InputError
            If there is none, or more than one fits.
        """
        artifacts = self.artifacts()
        of_stage = [artifact for artifact in artifacts if artifact.manifest.stage == name]
        if of_stage:
            return of_stage[-1]
        fitting = [artifact for artifact in artifacts if artifact.id.startswith(name)]
        if len(fitting) == 1:
            return fitting[0]
        what = "fits more than one artifact" if fitting else "is no artifact of this workspace"
        known = ", ".join(artifact.id for artifact in (fitting or artifacts)) or "none yet"
        raise InputError(f"'{name}' {what}", where=self.root, fix=f"known: {known}")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the workspace, so that two runs cannot write into it at once.

        The operating system frees the lock when the process ends, however it ends.

        Raises
        ------
        WorkspaceBusyError
            If another process holds it.
        """
        with hold(self.root / ".modelwright.lock", self.root):
            yield


@contextmanager
def hold(path: Path, what: Path) -> Iterator[None]:
    """Hold a lock file; ``what`` is named when another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    owner = path.with_name(path.name + ".owner")
    try:
        lock.acquire()
    except Timeout:
        pid = owner.read_text(encoding="utf-8") if owner.is_file() else "unknown"
        raise WorkspaceBusyError(
            f"another run (process {pid}) is at work here",
            where=what,
            fix="wait until it ends, or stop it; nothing was changed",
        ) from None
    try:
        write_text(owner, str(os.getpid()))
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def find_workspace(start: Path) -> Workspace:
    """The workspace at ``start`` or in the nearest folder above it.

    Raises
    ------
    UsageError
        If there is none.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / RECIPE).is_file():
            return Workspace(folder)
    raise UsageError(
        f"no workspace here: found no {RECIPE}",
        where=start,
        fix="run 'modelwright init' here first, or go to a workspace's folder",
    )
