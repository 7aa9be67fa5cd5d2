"""Reading tar archives as a stream: ustar, GNU long names, pax (POSIX.1-2001).

Written for archives that nobody vouches for: sizes of headers are limited, nothing is looked up
backwards, and there is no way to write to the disk.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

from modelwright.data.sources.streams import DAMAGED, ContentError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 512
MAX_HEADER = 64 * 2**10
"""Largest name or pax header, in bytes; paths have at most 4,096."""

BAD_TAR = f"{DAMAGED}: tar archive"

Kind = Literal["file", "folder", "link", "device", "other"]
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "link",
    b"2": "link",
    b"3": "device",
    b"4": "device",
    b"5": "folder",
    b"6": "device",
}
_WITHOUT_DATA = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
_LONG_NAME, _LONG_LINK, _PAX, _PAX_OF_ALL = b"L", b"K", b"x", b"g"


@dataclass(frozen=True)
class TarMember:
    """The header of one member; ``other`` are sparse files and what is not standardised."""

    name: str
    kind: Kind
    size: int


def read_tar(file: BinaryIO) -> Iterator[tuple[TarMember, io.BufferedReader]]:
    """Yield the members of an archive with their content, which must be read before the next.

    Raises
    ------
    ContentError
        If it is no tar archive, damaged or cut off.
    """
    long_name: str | None = None
    pax: dict[str, str] = {}
    while (block := _block(file)) is not None:
        kind, size = block[156:157], _number(block[124:136])
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_OF_ALL):
            data = _header_data(file, size)
            if kind == _LONG_NAME:
                long_name = _text(data)
            elif kind == _PAX:
                pax = _pax_records(data)
            continue
        if "size" in pax:
            size = _decimal(pax["size"])
        name = pax.get("path") or long_name or _name(block)
        is_sparse = any(key.startswith("GNU.sparse.") for key in pax)
        member = TarMember(name, "other" if is_sparse else _kind(kind, name), size)
        section = _Section(file, 0 if kind in _WITHOUT_DATA else size)
        yield member, io.BufferedReader(section)
        section.skip()
        long_name, pax = None, {}


class _Section(io.RawIOBase):
    """So many bytes of a stream, and what fills them up to a whole block."""

    def __init__(self, file: BinaryIO, size: int):
        self._file = file
        self._left = size
        self._filler = -size % BLOCK

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        piece = self._file.read(min(len(view), self._left))
        if not piece and self._left and len(view):
            raise ContentError(BAD_TAR)
        self._left -= len(piece)
        view[: len(piece)] = piece
        return len(piece)

    def skip(self) -> None:
        """Go to the end of the section."""
        left = self._left + self._filler
        while left:
            piece = self._file.read(min(left, 2**20))
            if not piece:
                raise ContentError(BAD_TAR)
            left -= len(piece)


def _block(file: BinaryIO) -> bytes | None:
    """The next header, or None at the end of the archive (a block of zeros, or of the file)."""
    block = file.read(BLOCK)
    if not block or not any(block):
        return None
    if len(block) < BLOCK:
        raise ContentError(BAD_TAR)
    wanted = _number(block[148:156])
    blanked = block[:148] + b" " * 8 + block[156:]
    unsigned = sum(blanked)
    signed = unsigned - 256 * sum(byte > 127 for byte in blanked)  # some old programs' sum
    if wanted not in (unsigned, signed):
        raise ContentError(BAD_TAR)
    return block


def _header_data(file: BinaryIO, size: int) -> bytes:
    if size > MAX_HEADER:
        raise ContentError(BAD_TAR)
    section = _Section(file, size)
    data = io.BufferedReader(section).read(size)
    section.skip()
    return data


def _number(field: bytes) -> int:
    """A number in octal digits, or (GNU) in base 256 where the first bit is set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0") or b"0"
    if digits.strip(b"01234567"):
        raise ContentError(BAD_TAR)
    return int(digits, 8)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ContentError(BAD_TAR)
    return int(text)


def _kind(flag: bytes, name: str) -> Kind:
    # Before POSIX a folder was told by its name alone; with a flag of its own the flag counts.
    return "folder" if flag == b"\0" and name.endswith("/") else _KINDS.get(flag, "other")


def _name(block: bytes) -> str:
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _pax_records(data: bytes) -> dict[str, str]:
    """Records of the form "LENGTH KEY=VALUE" and a line feed; the length is of the whole."""
    records: dict[str, str] = {}
    while data.strip(b"\0"):
        digits, _, _ = data[:8].partition(b" ")
        length = _decimal(digits.decode("ascii", "replace"))
        record = data[len(digits) + 1 : length]
        if length <= len(digits) + 1 or length > len(data) or not record.endswith(b"\n"):
            raise ContentError(BAD_TAR)
        key, found, value = record[:-1].partition(b"=")
        if not found:
            raise ContentError(BAD_TAR)
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        data = data[length:]
    return records
