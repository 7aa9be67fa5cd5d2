"""The members of archives, read as streams: nothing is ever written to the disk."""

from __future__ import annotations

import io
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, BinaryIO

from modelwright.data.drops import Drops
from modelwright.data.folder import HIDDEN, printable
from modelwright.data.sources.file_types import Container
from modelwright.data.sources.streams import DAMAGED, Budget, ContentError
from modelwright.data.sources.tar import read_tar

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

OUTSIDE = "archive member named outside its folder"
LINK = "link in an archive"
DEVICE = "device in an archive"
OTHER = "archive member of a special type"
TWICE = "archive member whose name was there before"
ENCRYPTED = "encrypted archive member"
METHOD = "archive member in an unsupported compression"
OVERLAPPING = "archive whose members overlap"
TOO_MANY = "archive with too many members"
BAD_ZIP = f"{DAMAGED}: zip archive"
BAD_MEMBER = f"{DAMAGED}: archive member"

SEPARATOR = "!/"
"""Between the name of an archive and that of a member: ``docs.zip!/a/b.txt``."""

_SPECIAL = {"link": LINK, "device": DEVICE, "other": OTHER}
_MAX_NAME = 4096
_ENCRYPTED_FLAG = 0x1
_LOCAL_HEADER = 30
_PIECE = 128 * 2**10

# What zipfile raises for damaged archives: ValueError is for names in broken UTF-8 and impossible
# positions, RuntimeError for passwords.
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError),
)


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold.

    Attributes
    ----------
    members : int
        Members read; what comes after is left out.
    directory_bytes : int
        A zip archive's list of members, which is read as a whole.
    """

    members: int = 100_000
    directory_bytes: int = 16 * 2**20


ARCHIVE_LIMITS = ArchiveLimits()


@dataclass(frozen=True)
class Member:
    """A regular file in an archive.

    Attributes
    ----------
    name : str
        With forward slashes, checked, without what a terminal would act upon.
    file : io.BufferedReader
        Its content; to be read before the next member is asked for. Reading raises
        ``ContentError`` where it is damaged.
    """

    name: str
    file: io.BufferedReader


def read_members(
    file: BinaryIO,
    container: Container,
    budget: Budget,
    refuse: Callable[[str, str], None],
    limits: ArchiveLimits = ARCHIVE_LIMITS,
) -> Iterator[Member]:
    """Yield the regular files in an archive, in its own order.

    Parameters
    ----------
    file : BinaryIO
        The archive; a zip archive must be seekable.
    container : {"zip", "tar"}
        What it is.
    budget : Budget
        What may come out of zip members. (A tar archive does not grow; what it was compressed
        with draws on the budget itself.)
    refuse : callable
        Called with reason and name of each member that is left out.
    limits : ArchiveLimits
        What it may hold.

    Raises
    ------
    ContentError
        If the archive is damaged; what was read before stands.
    """
    seen: set[str] = set()
    entries = _zip_entries(file, budget, limits) if container == "zip" else _tar_entries(file)
    for number, entry in enumerate(entries):
        if number >= limits.members:
            raise ContentError(TOO_MANY)
        if entry.is_folder:
            continue
        name = entry.name.replace("\\", "/")
        reason = entry.problem or _problem_of_name(name)
        plain = "/".join(part for part in name.split("/") if part not in ("", "."))
        key = unicodedata.normalize("NFC", plain)
        if reason is None and key in seen:
            reason = TWICE
        if reason is not None:
            refuse(reason, printable(name[:_MAX_NAME]))
            continue
        seen.add(key)
        with entry.open() as content:
            yield Member(printable(plain), content)


def count_refusals(drops: Drops, place: str) -> Callable[[str, str], None]:
    """A function for :func:`read_members` that counts what is refused in the archive at a place."""
    return lambda reason, name: drops.add(reason, f"{place}{SEPARATOR}{name}")


@dataclass(frozen=True)
class _Entry:
    """What tar and zip members have in common, before anything of it is believed."""

    name: str
    is_folder: bool
    problem: str | None
    open: Callable[[], io.BufferedReader]


def _problem_of_name(name: str) -> str | None:
    """Why a name is refused, backslashes being slashes."""
    parts = name.split("/")
    drive = len(name) > 1 and name[1] == ":" and name[0].isalpha()
    if name.startswith("/") or drive or ".." in parts or not name.strip("./"):
        return OUTSIDE
    if len(name) > _MAX_NAME or "\0" in name:
        return OUTSIDE
    if any(part.startswith(".") and part != "." for part in parts) or parts[0] == "__MACOSX":
        return HIDDEN
    return None


def _tar_entries(file: BinaryIO) -> Iterator[_Entry]:
    for member, content in read_tar(file):
        problem = _SPECIAL.get(member.kind)
        yield _Entry(member.name, member.kind == "folder", problem, partial(_itself, content))


def _itself(content: io.BufferedReader) -> io.BufferedReader:
    return content


def _zip_entries(file: BinaryIO, budget: Budget, limits: ArchiveLimits) -> Iterator[_Entry]:
    try:
        archive = zipfile.ZipFile(_LimitedReads(file, limits.directory_bytes))
    except ContentError:
        raise
    except _ZIP_ERRORS:
        raise ContentError(BAD_ZIP) from None
    with archive:
        if _overlap(archive.infolist()):
            raise ContentError(OVERLAPPING)
        for info in archive.infolist():
            name = info.orig_filename if "\0" in info.orig_filename else info.filename
            opened = _zip_opener(archive, info, budget)
            # Not is_dir(): of a name that is empty it wants the last character.
            is_folder = info.filename.endswith("/")
            yield _Entry(name, is_folder, _zip_problem(info), opened)


def _overlap(members: list[zipfile.ZipInfo]) -> bool:
    """Whether two members share bytes: so a small archive can hold petabytes (Fifield 2019)."""
    end = 0
    for info in sorted(members, key=lambda info: info.header_offset):
        if info.header_offset < end:
            return True
        end = info.header_offset + _LOCAL_HEADER + info.compress_size
    return False


def _zip_problem(info: zipfile.ZipInfo) -> str | None:
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        return LINK
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return DEVICE
    if info.flag_bits & _ENCRYPTED_FLAG:
        return ENCRYPTED
    # The standard library's readers of bzip2 and LZMA members do not limit what a piece becomes.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return METHOD
    return None


def _zip_opener(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget
) -> Callable[[], io.BufferedReader]:
    return lambda: io.BufferedReader(_ZipContent(archive, info, budget))


class _ZipContent(io.RawIOBase):
    """A zip member that counts what comes out of it and gives its errors one form."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget):
        self._archive = archive
        self._info = info
        self._budget = budget
        self._content: IO[bytes] | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)[:_PIECE]
        self._budget.spend(0)
        try:
            if self._content is None:
                self._content = self._archive.open(self._info)
            piece = self._content.read(len(view))
        except _ZIP_ERRORS:
            raise ContentError(BAD_MEMBER) from None
        self._budget.spend(len(piece))
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if self._content is not None:
            self._content.close()
        super().close()


class _LimitedReads:
    """A file that refuses to be read in one piece of more than so many bytes.

    ``zipfile`` reads the list of members as a whole, in the size that the archive itself states.
    """

    def __init__(self, file: BinaryIO, most: int):
        self._file = file
        self._most = most
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size if 0 <= size <= self._most else self._most + 1)
        if len(data) > self._most:
            raise ContentError(TOO_MANY)
        return data
