"""Content encodings, undone piece by piece with a limit on what comes out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator

import brotli

PIECE = 2**18
"""Most bytes that one step of a decompressor gives."""

RATIO_FLOOR = 2**20
"""The ratio is looked at only beyond so many bytes: small pages may compress well."""

MAX_MEMBERS = 100
"""A gzip body may be several members one after the other; each costs time to begin."""

EXPANDS = "expands too much when decompressed"
DAMAGED = "damaged compression"
IDENTITY = frozenset({"", "identity", "none", "utf-8"})  # some servers put the charset here


class EncodingError(ValueError):
    """A body that cannot or must not be decompressed; the message is the reason, countable."""


def decompress(
    pieces: Iterable[bytes], encoding: str, max_bytes: int, max_ratio: float
) -> Iterator[bytes]:
    """Yield a body without its content encoding.

    Parameters
    ----------
    pieces : iterable of bytes
        The body as it came, in pieces of any size.
    encoding : str
        ``Content-Encoding`` of the response: gzip, deflate, br, or none.
    max_bytes : int
        Most bytes that may come out.
    max_ratio : float
        Most bytes out for a byte in, once more than 1 MiB has come out.

    Raises
    ------
    EncodingError
        If it is larger, expands more, is damaged or cut off, or the encoding is another one.
    """
    taken = given = 0

    def counted() -> Iterator[bytes]:
        nonlocal taken
        for piece in pieces:
            taken += len(piece)
            yield piece

    for piece in _plain(counted(), encoding.strip().lower()):
        given += len(piece)
        if given > max_bytes:
            raise EncodingError(larger_than(max_bytes))
        if given > RATIO_FLOOR and given > max_ratio * taken:
            raise EncodingError(EXPANDS)
        yield piece


def larger_than(max_bytes: int) -> str:
    """The reason for a body that is larger than the limit."""
    return f"larger than {max_bytes / 2**20:g} MiB"


def _plain(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    if name in IDENTITY:
        return pieces
    if name in ("gzip", "x-gzip", "deflate"):
        return _inflate(pieces, name)
    if name == "br":
        return _unbrotli(pieces)
    raise EncodingError("unknown content encoding")


def _inflate(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    start: Callable[[bytes], zlib._Decompress] = _deflate if name == "deflate" else _gzip
    inflater: zlib._Decompress | None = None
    members = 0
    for piece in pieces:
        while piece:
            if inflater is None or inflater.eof:
                if inflater is not None and not (name != "deflate" and _is_member(piece)):
                    return  # what follows the end is ignored, as browsers do
                members += 1
                if members > MAX_MEMBERS:
                    raise EncodingError(EXPANDS)
                inflater = start(piece)
            out = _step(inflater, piece)
            piece = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            if out:
                yield out
    if inflater is not None and not inflater.eof:
        yield _rest(inflater)


def _unbrotli(pieces: Iterator[bytes]) -> Iterator[bytes]:
    decompressor = brotli.Decompressor()
    for piece in pieces:
        while not decompressor.is_finished():
            try:
                out = decompressor.process(piece, output_buffer_limit=PIECE)
            except brotli.error:
                raise EncodingError(DAMAGED) from None
            piece = b""
            if out:
                yield out
            elif decompressor.can_accept_more_data():
                break
    if not decompressor.is_finished():
        raise EncodingError(DAMAGED)


def _is_member(piece: bytes) -> bool:
    return b"\x1f\x8b".startswith(piece[:2])


def _gzip(first: bytes) -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)


def _deflate(first: bytes) -> zlib._Decompress:
    """Deflate with the zlib header that RFC 9110 asks for, or without, as some servers send it."""
    has_header = first[0] & 0x0F == 8 and (len(first) < 2 or int.from_bytes(first[:2]) % 31 == 0)
    return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def _step(inflater: zlib._Decompress, piece: bytes) -> bytes:
    try:
        return inflater.decompress(piece, PIECE)
    except zlib.error:
        raise EncodingError(DAMAGED) from None


def _rest(inflater: zlib._Decompress) -> bytes:
    """What a decompressor still holds; a stream without its end was cut off."""
    out = _step(inflater, b"")
    if not inflater.eof:
        raise EncodingError(DAMAGED)
    return out
