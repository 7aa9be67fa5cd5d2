"""Which files a folder of the user holds, in an order that never changes."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from modelwright.core.errors import InputError
from modelwright.core.workspace import ARTIFACTS, DATABASE, RECIPE, REPORT
from modelwright.data.drops import Drops

HIDDEN = "hidden file or folder"
LINK = "symbolic link, not followed"
SPECIAL = "not a regular file"
WORKSPACE = "made by the workspace itself"
UNREADABLE = "no permission to read it"
GONE = "gone before it was read"
BROKEN = "error of the disk or file system"
OURS = (RECIPE, ARTIFACTS, REPORT)
"""Skipped beside a recipe, as is the database: a model must not be trained on its own
report when its workspace lies among the user's documents."""

# A file may be swapped for a pipe or a link after it was listed; opening must not wait for a
# writer nor follow it. (Windows has neither flag.)
_SAFE_OPEN = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


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


def printable(name: str) -> str:
    """A name with everything that is not to be printed (controls, odd bytes) as an escape.

    Names that differ stay different, unless one spells out another's escape.
    """
    if name.isprintable():
        return name
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in name
    )


def open_file(path: Path) -> io.BufferedReader:
    """Open a regular file for reading; never waits, as a pipe would make it, nor follows a link.

    Raises
    ------
    OSError
        If it cannot be opened or is no regular file; :func:`reason_of` says it in a few words.
    """
    descriptor = os.open(path, _SAFE_OPEN)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, SPECIAL, str(path))
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def reason_of(error: OSError) -> str:
    """Why a file could not be read, to be counted."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return UNREADABLE
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
        return GONE
    if error.errno in (errno.EINVAL, errno.ELOOP, errno.ENXIO, errno.EISDIR):
        return SPECIAL
    return BROKEN


def fingerprint_files(paths: list[Path], root: Path) -> list[list[str | int]]:
    """Relative name, size in bytes and time of change (ns) of each file; -1 for what is gone."""
    described: list[list[str | int]] = []
    for path in paths:
        try:
            status = path.stat()
            size, changed = status.st_size, status.st_mtime_ns
        except FileNotFoundError:
            size = changed = -1
        described.append([ascii(relative_name(path, root)), size, changed])
    return described


def _walk(root: Path, drops: Drops) -> Iterator[Path]:
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                listed = list(entries)
        except OSError as error:
            drops.add(reason_of(error), printable(relative_name(folder, root)))
            continue
        is_workspace = any(entry.name == RECIPE for entry in listed)
        for entry in listed:
            if is_workspace and (entry.name in OURS or entry.name.startswith(DATABASE)):
                drops.add(WORKSPACE)
            elif entry.name.startswith("."):
                drops.add(HIDDEN)
            elif entry.is_symlink():
                drops.add(LINK)
            elif entry.is_dir():
                waiting.append(Path(entry.path))
            elif entry.is_file():
                yield Path(entry.path)
            else:
                drops.add(SPECIAL)
