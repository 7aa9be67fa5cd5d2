"""The errors that users see: each says what is wrong, where, and what to do."""

from __future__ import annotations

import errno
from pathlib import Path


class ModelwrightError(Exception):
    """Base of all errors that Modelwright raises on purpose.

    Parameters
    ----------
    what : str
        What is wrong, in one sentence.
    where : str or Path, optional
        The file, line, field or address it concerns.
    fix : str, optional
        What the user can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | Path | None = None, fix: str | None = None):
        super().__init__(what)
        self.what = what
        self.where = None if where is None else str(where)
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  to do: {self.fix}")
        return "\n".join(lines)


class UsageError(ModelwrightError):
    """A command line, recipe or setting that cannot be meant."""

    exit_code = 2


class InputError(ModelwrightError):
    """Data or an artifact that cannot be used as it is."""


class WorkspaceBusyError(ModelwrightError):
    """Another run holds the workspace."""


class TrainingError(ModelwrightError):
    """Training cannot go on (no data, a loss that is not finite, ...)."""


class PrunedError(ModelwrightError):
    """A training that was given up early; it can go on from the checkpoint that it left."""


class MissingExtraError(ModelwrightError):
    """An optional part is not installed."""

    def __init__(self, package: str, extra: str):
        super().__init__(
            f"this needs the package '{package}', which is not installed",
            fix=f"pip install 'modelwright[{extra}]'",
        )
        self.package, self.extra = package, extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        """Worker processes send their errors back."""
        return type(self), (self.package, self.extra)


def from_os_error(error: OSError) -> ModelwrightError:
    """Say an operating-system error in our terms (disk full, no permission, missing file)."""
    where = error.filename if error.filename else None
    if error.errno == errno.ENOSPC:
        return ModelwrightError(
            "the disk is full",
            where=where,
            fix="free some space and run the same command again; finished work is kept",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ModelwrightError(
            "permission denied", where=where, fix="check the owner and mode of that path"
        )
    if error.errno == errno.ENOENT:
        return ModelwrightError("no such file or folder", where=where, fix="check the path")
    return ModelwrightError(error.strerror or str(error), where=where)
