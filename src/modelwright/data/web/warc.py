"""Responses in WARC files (ISO 28500), whoever wrote them; a broken record costs only itself."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from modelwright.data.web.client import header_of
from modelwright.data.web.encodings import EncodingError, decompress, larger_than
from modelwright.data.web.network import Limits

BROKEN = "broken WARC record"
CUT_OFF = "WARC record that is cut off"

WRONG_DIGEST = "WARC record that does not match its digest"

LIMITS = Limits()
_DIGESTS = ("md5", "sha1", "sha256", "sha512")
_HEADER_BYTES = 256 * 2**10
_SLICE = 2**16
_GZIP_START = b"\x1f\x8b\x08"
_PLAIN_START = b"\r\n\r\nWARC/1."
_MAX_RESTARTS = 1_000


@dataclass(frozen=True)
class Capture:
    """A response that somebody recorded.

    Attributes
    ----------
    url : str
        As recorded.
    date : str
        ``WARC-Date``: ISO 8601, UTC.
    status : int
    headers : tuple of (str, str)
        Of HTTP.
    body : bytes
        Without transfer and content encoding.
    path : Path
    offset : int
        Where the record begins, in bytes.
    record_id : str
    """

    url: str
    date: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    path: Path
    offset: int
    record_id: str = ""

    def header(self, name: str) -> str:
        """The values of a header, joined by commas; "" if it is not there."""
        return header_of(self.headers, name)


@dataclass(frozen=True)
class Broken:
    """A place where no response could be read, and why."""

    reason: str
    path: Path
    offset: int
    url: str = ""


def read_captures(path: Path) -> Iterator[Capture | Broken]:
    """Yield the HTTP responses of a WARC file, compressed or not, in order.

    After damage, reading goes on at the next place that looks like the start of a record. What is
    read of one response is limited as if it were fetched.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    with open(path, "rb") as file:
        is_gzip = file.read(2) == _GZIP_START[:2]
        start: int | None = 0
        in_gap = False  # damage is told once, however many places in it look like a start
        for _ in range(_MAX_RESTARTS):
            if start is None:
                return
            last = start
            try:
                for record in _records(file, start):
                    last = start + record.stream_pos
                    read = _read(record, path, last) if _is_response(record) else None
                    in_gap = isinstance(read, Broken)
                    if read is not None:
                        yield read
                if not in_gap and _ends_whole(file, last, is_gzip):
                    return
                reason = CUT_OFF
            except OSError:
                reason = BROKEN
            if not in_gap:
                in_gap = True
                yield Broken(reason, path, last)
            start = _next_start(file, last + 1, is_gzip)


def read_capture_at(path: Path, offset: int) -> Capture | Broken:
    """Read the one response that begins at ``offset``."""
    with open(path, "rb") as file:
        try:
            for record in _records(file, offset):
                return _read(record, path, offset)
        except OSError:
            return Broken(BROKEN, path, offset)
    return Broken(CUT_OFF, path, offset)


def split_http(block: bytes) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
    """Take an HTTP response apart: status, headers, body as it came.

    Raises
    ------
    ValueError
        If it is not an HTTP response.
    """
    head, blank, body = block.partition(b"\r\n\r\n")
    other, other_blank, other_body = block[:_HEADER_BYTES].partition(b"\n\n")
    if other_blank and len(other) < len(head):
        head, blank, body = other, other_blank, other_body + block[_HEADER_BYTES:]
    if not blank or len(head) > _HEADER_BYTES or not head.startswith(b"HTTP/"):
        raise ValueError("not an HTTP response")
    first, *lines = head.decode("latin-1").splitlines()
    pairs = (line.partition(":") for line in lines)
    headers = tuple((name.strip(), value.strip()) for name, colon, value in pairs if colon)
    return int(first.split(maxsplit=2)[1][:3]), headers, body


def _records(file: BinaryIO, start: int) -> Iterator[WarcRecord]:
    file.seek(start)
    yield from ArchiveIterator(_Rest(file), parse_http=False)


def _is_response(record: WarcRecord) -> bool:
    kind = (record.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    return record.record_type == WarcRecordType.response and kind == "application/http"


def _read(record: WarcRecord, path: Path, offset: int) -> Capture | Broken:
    url = (record.headers.get("WARC-Target-URI") or "").strip("<>")
    size = record.content_length
    if size > LIMITS.body_bytes + _HEADER_BYTES:
        return Broken(larger_than(LIMITS.body_bytes), path, offset, url)
    block = record.reader.read(size)
    if len(block) < size:
        return Broken(CUT_OFF, path, offset, url)
    if not _matches(block, record.headers.get("WARC-Block-Digest") or ""):
        return Broken(WRONG_DIGEST, path, offset, url)
    try:
        status, headers, body = split_http(block)
        body = _decoded(body, headers)
    except EncodingError as error:
        return Broken(str(error), path, offset, url)
    except (ValueError, IndexError):
        return Broken(BROKEN, path, offset, url)
    date = record.headers.get("WARC-Date") or ""
    return Capture(url, date, status, headers, body, path, offset, record.record_id or "")


def _matches(block: bytes, digest: str) -> bool:
    """Whether a block has the digest that is stated (``sha1:``, base 32 or hexadecimal), if any."""
    name, _, stated = digest.strip().partition(":")
    if name.lower() not in _DIGESTS:
        return True
    computed = hashlib.new(name.lower(), block, usedforsecurity=False).digest()
    encoded = base64.b32encode(computed).rstrip(b"=").decode()
    return stated.rstrip("=").upper() == encoded or stated.lower() == computed.hex()


def _decoded(body: bytes, headers: tuple[tuple[str, str], ...]) -> bytes:
    if "chunked" in header_of(headers, "transfer-encoding").lower():
        body = _unchunked(body)
    slices = (body[start : start + _SLICE] for start in range(0, len(body), _SLICE))
    encoding = header_of(headers, "content-encoding")
    return b"".join(decompress(slices, encoding, LIMITS.body_bytes, LIMITS.ratio))


def _unchunked(body: bytes) -> bytes:
    """Join the chunks of a body (RFC 9112, section 7.1); one that has none is left as it is.

    Many crawlers record the header although they have already joined the chunks.
    """
    pieces: list[bytes] = []
    position = 0
    while True:
        end = body.find(b"\r\n", position, position + 1024)
        try:
            size = int(body[position:end].partition(b";")[0], 16) if end > 0 else -1
        except ValueError:
            size = -1
        if size < 0 or end + 2 + size > len(body):
            if not pieces:
                return body
            raise ValueError("broken chunks")
        if size == 0:
            return b"".join(pieces)
        pieces.append(body[end + 2 : end + 2 + size])
        position = end + 2 + size + 2


def _next_start(file: BinaryIO, start: int, is_gzip: bool) -> int | None:
    """Position of the next record in a damaged file; None if there is none."""
    mark = _GZIP_START if is_gzip else _PLAIN_START
    file.seek(start)
    window = b""
    position = start
    while piece := file.read(2**20):
        window += piece
        found = window.find(mark)
        if found >= 0:
            return position + found + (0 if is_gzip else len(_PLAIN_START) - len(b"WARC/1."))
        position += len(window) - len(mark) + 1
        window = window[-len(mark) + 1 :]
    return None


def _ends_whole(file: BinaryIO, last: int, is_gzip: bool) -> bool:
    """Whether nothing is missing from the last record on; the reader takes a torn one for the end.

    Parameters
    ----------
    last : int
        Where the last record begins that could be read.
    """
    file.seek(last)
    if is_gzip:
        return _members_end(file)
    head = file.read(_HEADER_BYTES).partition(b"\r\n\r\n")[0]
    lines = head.decode("latin-1").lower().split("\r\n")
    sizes = [int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")]
    end = last + len(head) + sum(sizes[:1]) + 2 * len(b"\r\n\r\n")
    size = file.seek(0, 2)
    file.seek(end)
    return size == 0 or (end <= size and not file.read(_HEADER_BYTES).strip())


def _members_end(file: BinaryIO) -> bool:
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    rest = b""
    while piece := rest or file.read(_SLICE):
        if inflater.eof:
            inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            inflater.decompress(piece, _SLICE)
        except zlib.error:
            return False
        rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    return inflater.eof


class _Rest:
    """The rest of an open file as a stream of its own, which begins at zero."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._start = file.tell()

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset + (self._start if whence == 0 else 0), whence) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

    def close(self) -> None:
        return
