"""Which files a folder of the user holds, in an order that never changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from modelwright.core.errors import InputError
from modelwright.core.workspace import ARTIFACTS, DATABASE, RECIPE, REPORT
from modelwright.data.drops import Drops

HIDDEN = "hidden file or folder"
LINK = "symbolic link, not followed"
SPECIAL = "not a regular file"
WORKSPACE = "made by the workspace itself"
OURS = (RECIPE, ARTIFACTS, REPORT)
"""Skipped beside a recipe, as is the database: a model must not be trained on its own
report when its workspace lies among the user's documents."""


def find_files(root: Path, drops: Drops) -> list[Path]:
    """All regular files below ``root``, sorted by their relative path.

    Hidden files and folders are left out. Symbolic links inside the folder are not followed: they
    could lead out of it, or round in circles. ``root`` itself may be a link or a single file.

    Raises
    ------
    InputError
        If there is nothing at ``root``.
    """
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise InputError("no such file or folder", where=root, fix="check the path in the recipe")
    return sorted(_walk(root, drops), key=lambda path: relative_name(path, root))


def relative_name(path: Path, root: Path) -> str:
    """Name of a file within a source, with forward slashes; of a single file, its own name."""
    return path.name if path == root else path.relative_to(root).as_posix()


def fingerprint_files(paths: list[Path], root: Path) -> list[list[str | int]]:
    """Relative name, size in bytes and time of change (ns) of each file."""
    described: list[list[str | int]] = []
    for path in paths:
        status = path.stat()
        described.append([ascii(relative_name(path, root)), status.st_size, status.st_mtime_ns])
    return described


def _walk(folder: Path, drops: Drops) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        listed = list(entries)
    is_workspace = any(entry.name == RECIPE for entry in listed)
    for entry in listed:
        if is_workspace and (entry.name in OURS or entry.name.startswith(DATABASE)):
            drops.add(WORKSPACE)
        elif entry.name.startswith("."):
            drops.add(HIDDEN)
        elif entry.is_symlink():
            drops.add(LINK)
        elif entry.is_dir():
            yield from _walk(Path(entry.path), drops)
        elif entry.is_file():
            yield Path(entry.path)
        else:
            drops.add(SPECIAL)
