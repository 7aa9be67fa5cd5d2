"""The archive of a crawl: WARC 1.1 (ISO 28500), from which texts can be extracted again.

Bodies are kept without their transfer and content encoding, as Common Crawl keeps them: any reader
can use them, and what was hashed is what is extracted. The original headers stay under the names
``X-Crawl-...``. Each record is a gzip member of its own and is handed to the operating system as a
whole; after a kill, one that was cut off is taken away and the crawl goes on.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from uuid import NAMESPACE_URL, uuid5

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from modelwright.core.files import sync_file, sync_folder
from modelwright.data.web.client import USER_AGENT, Response
from modelwright.data.web.warc import Capture, read_capture_at, read_captures

SEGMENT_BYTES = 256 * 2**20
_PATTERN = "crawl-*.warc.gz"
_NOT_MODIFIED = "http://netpreserve.org/warc/1.1/revisit/server-not-modified"
_CHANGED = ("content-encoding", "transfer-encoding", "content-length")
_SLICE = 2**16


@dataclass(frozen=True)
class Entry:
    """Where a response lies in an archive, and what a conditional request needs of it."""

    path: Path
    offset: int
    status: int
    etag: str
    last_modified: str

    @property
    def validators(self) -> dict[str, str]:
        """Headers that ask for the page only if it has changed since."""
        pairs = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in pairs.items() if value}

    def read(self) -> Capture:
        """Read the response.

        Raises
        ------
        OSError
            If it is not there any more.
        """
        capture = read_capture_at(self.path, self.offset)
        if not isinstance(capture, Capture):
            raise OSError(f"{self.path}, byte {self.offset}: {capture.reason}")
        return capture


def read_index(folder: Path) -> dict[str, Entry]:
    """The responses in the archive of a crawl, by address; of several, the last."""
    index: dict[str, Entry] = {}
    for path in segments(folder):
        for capture in read_captures(path):
            if isinstance(capture, Capture):
                index[capture.url] = Entry(
                    path,
                    capture.offset,
                    capture.status,
                    capture.header("etag"),
                    capture.header("last-modified"),
                )
    return index


def segments(folder: Path) -> list[Path]:
    """The files of an archive in order."""
    return sorted(folder.glob(_PATTERN))


class ArchiveWriter:
    """Adds responses to the archive in a folder, in new files beside those that are there.

    Use it in a ``with`` statement. What a killed writer left is repaired first.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    segment_bytes : int
        A file is finished when it is as large as this.
    """

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES):
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._file: BinaryIO | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for path in segments(folder)[-1:]:
            _cut_torn_record(path)

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._finish()

    def add(self, response: Response) -> Entry:
        """Keep a response and the request that it answers."""
        url = str(response.url)
        date = _stamp(response.date)
        about = {"WARC-Date": date, "WARC-Record-ID": _record_id(url, date, "response")}
        if response.address:
            about["WARC-IP-Address"] = response.address
        status = f"{response.status} {response.reason}".strip()
        fields = _kept_headers(response.headers, len(response.body))
        offset = self._write(url, "response", about, status, fields, response.body)
        asked = {
            "WARC-Date": date,
            "WARC-Record-ID": _record_id(url, date, "request"),
            "WARC-Concurrent-To": about["WARC-Record-ID"],
        }
        self._write(
            url, "request", asked, f"GET {response.url.target}", [*response.request_headers], b""
        )
        return self._entry(offset, response.status, fields)

    def add_unchanged(self, earlier: Capture, response: Response) -> Entry:
        """Keep a response of an earlier archive that the server says still holds (304).

        The earlier record is copied, with its date and id, so that this archive stands alone; a
        ``revisit`` record after it says when it was asked for again.
        """
        about = {"WARC-Date": earlier.date, "WARC-Record-ID": earlier.record_id}
        fields = list(earlier.headers)
        offset = self._write(
            earlier.url, "response", about, f"{earlier.status}", fields, earlier.body
        )
        date = _stamp(response.date)
        again = {
            "WARC-Date": date,
            "WARC-Record-ID": _record_id(earlier.url, date, "revisit"),
            "WARC-Profile": _NOT_MODIFIED,
            "WARC-Refers-To": earlier.record_id,
            "WARC-Refers-To-Target-URI": earlier.url,
            "WARC-Refers-To-Date": earlier.date,
        }
        status = f"{response.status} {response.reason}".strip()
        self._write(earlier.url, "revisit", again, status, [*response.headers], b"")
        return self._entry(offset, earlier.status, fields)

    def _write(
        self,
        url: str,
        kind: str,
        about: dict[str, str],
        first_line: str,
        fields: list[tuple[str, str]],
        body: bytes,
    ) -> int:
        """Write one record as a whole; give its offset."""
        buffer = io.BytesIO()
        writer = WARCWriter(buffer, gzip=True, warc_version="1.1")
        http = StatusAndHeaders(first_line, fields, protocol="HTTP/1.1", is_http_request=False)
        if kind == "request":
            verb, _, target = first_line.partition(" ")
            http = StatusAndHeaders(f"{target} HTTP/1.1", fields, protocol=verb)
        record = writer.create_warc_record(
            url, kind, payload=io.BytesIO(body), http_headers=http, warc_headers_dict=about
        )
        writer.write_record(record)
        file = self._segment()
        offset = file.tell()
        file.write(buffer.getvalue())
        file.flush()
        return offset

    def _segment(self) -> BinaryIO:
        if self._file is not None and self._file.tell() >= self._segment_bytes:
            self._finish()
        if self._file is None:
            last = segments(self._folder)[-1:]
            number = int(last[0].name.split(".")[0].partition("-")[2]) + 1 if last else 0
            path = self._folder / f"crawl-{number:05d}.warc.gz"
            self._file = open(path, "xb")  # noqa: SIM115  (it stays open until it is full)
            self._file.write(_information(path.name))
        return self._file

    def _entry(self, offset: int, status: int, fields: list[tuple[str, str]]) -> Entry:
        values = {name.lower(): value for name, value in fields}
        path = Path(self._segment().name)
        return Entry(path, offset, status, values.get("etag", ""), values.get("last-modified", ""))

    def _finish(self) -> None:
        if self._file is not None:
            path = Path(self._file.name)
            self._file.close()
            self._file = None
            sync_file(path)
            sync_folder(path.parent)


def _information(name: str) -> bytes:
    buffer = io.BytesIO()
    writer = WARCWriter(buffer, gzip=True, warc_version="1.1")
    about = {"software": USER_AGENT, "format": "WARC File Format 1.1", "robots": "obey"}
    writer.write_record(writer.create_warcinfo_record(name, about))
    return buffer.getvalue()


def _kept_headers(headers: tuple[tuple[str, str], ...], size: int) -> list[tuple[str, str]]:
    """The headers for a body without its encodings; the old ones under other names."""
    kept = [
        (f"X-Crawl-{name}" if name.lower() in _CHANGED else name, value) for name, value in headers
    ]
    return [*kept, ("Content-Length", str(size))]


def _record_id(url: str, date: str, kind: str) -> str:
    return f"<urn:uuid:{uuid5(NAMESPACE_URL, f'{kind} {date} {url}')}>"


def _stamp(date: datetime) -> str:
    """ISO 8601 in UTC, to the second."""
    return date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cut_torn_record(path: Path) -> None:
    """Shorten a file to the gzip members in it that are whole; remove it if there is none."""
    whole = _whole_bytes(path)
    if whole == 0:
        path.unlink()
    elif whole < path.stat().st_size:
        with open(path, "rb+") as file:
            file.truncate(whole)


def _whole_bytes(path: Path) -> int:
    whole = position = 0
    inflater: Any = None
    rest = b""
    with open(path, "rb") as file:
        while piece := rest or file.read(_SLICE):
            inflater = inflater or zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                inflater.decompress(piece, _SLICE)
            except zlib.error:
                return whole
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            position += len(piece) - len(rest)
            if inflater.eof:
                whole, inflater = position, None
    return whole
