"""Artifacts: folders in a format the field already reads, plus a ``manifest.json``.

The manifest is written last; a folder without one does not count as finished.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelwright.core.errors import InputError
from modelwright.core.files import sha256_file, sha256_json, write_json

MANIFEST = "manifest.json"
LOG_FOLDER = "log"
"""Files below this folder hold timings: listed in the manifest, left out of the digest."""

SCRATCH_FOLDER = "scratch"
"""Files below this folder serve resume only and are removed when the artifact is finished."""

UNKNOWN_LICENCE = "LicenseRef-unknown"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Record):
    """Size in bytes and SHA-256 of one file of an artifact."""

    size: int
    sha256: str


class Parent(_Record):
    """An artifact that this one was made from."""

    role: str
    kind: str
    id: str
    digest: str


class Manifest(_Record):
    """What an artifact is, what it was made from, and how."""

    format: int = 1
    kind: str
    id: str
    stage: str
    created: str
    code_version: str
    digest: str
    """SHA-256 over names and hashes of the files (without logs): equal content, equal digest."""
    key: str = ""
    """SHA-256 of what went in (settings, parents, stage version); decides freshness."""
    key_parts: dict[str, Any] = Field(default_factory=dict)
    parents: list[Parent] = Field(default_factory=list)
    settings: dict[str, Any] = Field(default_factory=dict)
    """The settings as used, every automatic choice filled in."""
    licences: list[str] = Field(default_factory=list)
    counts: dict[str, int] = Field(default_factory=dict)
    dropped: dict[str, int] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    files: dict[str, FileEntry] = Field(default_factory=dict)
    machine: dict[str, Any] = Field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Artifact:
    """A finished artifact on disk."""

    path: Path
    manifest: Manifest

    @property
    def id(self) -> str:
        """The artifact's id, also its folder's name inside a workspace."""
        return self.manifest.id

    @property
    def kind(self) -> str:
        """What it holds: corpus, tokenizer, shards, examples, model, evaluation, ..."""
        return self.manifest.kind

    def file(self, name: str) -> Path:
        """Path of one of its files.

        Raises
        ------
        InputError
            If the artifact has no such file.
        """
        path = self.path / name
        if not path.is_file():
            raise InputError(
                f"this {self.kind} has no file '{name}'",
                where=self.path,
                fix="give a folder of the right kind, or make it again",
            )
        return path

    def changed_files(self) -> list[str]:
        """Names of files whose content is no longer what the manifest says."""
        changed = []
        for name, entry in self.manifest.files.items():
            path = self.path / name
            if not path.is_file() or sha256_file(path) != entry.sha256:
                changed.append(name)
        return changed


def open_artifact(path: Path, kind: str) -> Artifact:
    """Open an artifact folder, ours or one made by another tool.

    A folder without a manifest is adopted as it is: its files are hashed, its licence is
    unknown, its origin is the folder itself.

    Raises
    ------
    InputError
        If there is no such folder, or it holds another kind of artifact.
    """
    if not path.is_dir():
        raise InputError(f"no {kind} here: not a folder", where=path, fix="check the path")
    if (path / MANIFEST).is_file():
        artifact = Artifact(path, read_manifest(path))
        if artifact.kind != kind:
            raise InputError(
                f"this is {_one(artifact.kind)}, and {_one(kind)} is needed here",
                where=path,
                fix=f"give the folder that holds the {kind}",
            )
        return artifact
    files = hash_files(path)
    if not files:
        raise InputError(f"no {kind} here: the folder is empty", where=path, fix="check the path")
    digest = digest_of(files)
    manifest = Manifest(
        kind=kind,
        id=f"{path.resolve().name}@{digest[:12]}",
        stage="import",
        created="",
        code_version="",
        digest=digest,
        licences=[UNKNOWN_LICENCE],
        files=files,
    )
    return Artifact(path, manifest)


def conversations_taught(manifest: Manifest) -> int | None:
    """On how many conversations a model learned to answer; None where that is not known."""
    return 0 if manifest.stage == "pretrain" else manifest.counts.get("conversations")


def read_manifest(folder: Path) -> Manifest:
    """Read and check a folder's manifest.

    Raises
    ------
    InputError
        If it is missing or damaged.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no manifest: not a finished artifact", where=folder) from None
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"the manifest is damaged: {error}",
            where=path,
            fix="delete the folder and run again; it will be made anew",
        ) from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, the last file of an artifact."""
    write_json(folder / MANIFEST, manifest.model_dump())


def hash_files(folder: Path) -> dict[str, FileEntry]:
    """Size and SHA-256 of every file below ``folder`` by relative name.

    The manifest and the scratch folder are left out.
    """
    entries = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST and not name.startswith(f"{SCRATCH_FOLDER}/"):
            entries[name] = FileEntry(size=path.stat().st_size, sha256=sha256_file(path))
    return entries


def digest_of(files: dict[str, FileEntry]) -> str:
    """Digest of an artifact's content: names and hashes of its files, logs left out."""
    return sha256_json(
        {
            name: entry.sha256
            for name, entry in files.items()
            if not name.startswith(f"{LOG_FOLDER}/")
        }
    )


def _one(kind: str) -> str:
    """A kind of artifact with its article, where it takes one."""
    if kind.endswith("s") and not kind.endswith("us"):
        return f"a folder of {kind}"
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
