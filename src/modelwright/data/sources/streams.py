"""Decompression piece by piece, with a limit on what may come out."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

import zstandard

from modelwright.data.sources.file_types import Compression

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BOMB = "decompresses to far more than its size"
DAMAGED = "damaged or cut off"

XZ_MEMORY = 256 * 2**20
"""Memory that the xz decoder may take; the largest preset of xz needs 65 MiB."""

_PIECE = 128 * 2**10
_FEED = 1024
"""Bytes given to a decoder that cannot limit its output: a kilobyte of zstd makes at most 32 MiB (a
block of 128 KiB takes four bytes), of xz about 7 MiB."""

_ERRORS = (EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


class ContentError(ValueError):
    """Something that cannot be read; the message is the reason, short and countable."""


@dataclass
class Budget:
    """How many bytes may still come out of one file of the user's, over all layers in it.

    A counter that is handed along: archives in archives draw from the same one.
    """

    left: int

    def spend(self, size: int) -> None:
        """Count bytes that came out.

        Raises
        ------
        ContentError
            If there are more than may be.
        """
        self.left -= size
        if self.left < 0:
            raise ContentError(BOMB)


@dataclass(frozen=True)
class ExpansionLimits:
    """How much larger than a file its content may be.

    Attributes
    ----------
    ratio : int
        Bytes out for a byte in. Text seldom exceeds 20, repetitive logs 100; the formats allow
        1,000 (gzip), 30,000 (zstd) and over a million (bzip2).
    floor : int
        What may come out of any file, however small.
    total : int
        What may come out of any file, however large.
    """

    ratio: int = 200
    floor: int = 256 * 2**20
    total: int = 256 * 2**30

    def budget(self, size: int) -> Budget:
        """The budget of a file of so many bytes."""
        return Budget(min(self.total, max(self.floor, self.ratio * size)))


EXPANSION_LIMITS = ExpansionLimits()


class _Readable(Protocol):
    def read1(self, size: int, /) -> bytes:
        """What is at hand, at least a byte; so damage costs nothing that came before it."""


class _Decoder(Protocol):
    """The part that the decoders of xz and zstd have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def decompressed(file: BinaryIO, compression: Compression, budget: Budget) -> io.BufferedReader:
    """The decompressed content of a file as a stream.

    Reading raises ``ContentError`` for what is damaged, cut off or over the budget. Memory stays
    below 40 MiB (xz: what its dictionary needs), whatever the content is.
    """
    return io.BufferedReader(_Limited(_opened(file, compression), compression, budget), _PIECE)


def _opened(file: BinaryIO, compression: Compression) -> _Readable:
    match compression:
        case "gzip":
            return gzip.GzipFile(fileobj=file, mode="rb")
        case "bzip2":
            return bz2.BZ2File(file)
        case "xz":
            return _Decoding(file, _xz_decoder)
        case "zstd":
            return _Decoding(file, _zstd_decoder)


class _Limited(io.RawIOBase):
    """Passes a decompressed stream on, counts it, and gives its errors one form."""

    def __init__(self, stream: _Readable, compression: str, budget: Budget):
        self._stream = stream
        self._name = compression
        self._budget = budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        try:
            piece = self._stream.read1(min(len(view), _PIECE))
        except _ERRORS as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ContentError(f"{DAMAGED}: {self._name} data") from None
        self._budget.spend(len(piece))
        view[: len(piece)] = piece
        return len(piece)


class _Decoding:
    """Decodes one compressed stream, or several that follow each other."""

    def __init__(self, file: BinaryIO, new_decoder: Callable[[], _Decoder]):
        self._file = file
        self._new_decoder = new_decoder
        self._decoder: _Decoder | None = None
        self._ahead = b""
        self._decoded = io.BytesIO()

    def read1(self, size: int, /) -> bytes:
        while not (piece := self._decoded.read(size)):
            data = self._ahead or self._file.read(_FEED)
            if not data:
                if self._decoder is not None:
                    raise EOFError
                break
            self._decode(data)
        return piece

    def _decode(self, data: bytes) -> None:
        decoder = self._decoder or self._new_decoder()
        self._decoded = io.BytesIO(decoder.decompress(data))
        self._decoder = None if decoder.eof else decoder
        self._ahead = decoder.unused_data if decoder.eof else b""


def _xz_decoder() -> _Decoder:
    return lzma.LZMADecompressor(memlimit=XZ_MEMORY)


def _zstd_decoder() -> _Decoder:
    return cast(_Decoder, zstandard.ZstdDecompressor().decompressobj())
