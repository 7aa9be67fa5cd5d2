from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from modelwright.core.errors import InputError
from modelwright.core.progress import SilentProgress
from modelwright.data.drops import Drops
from modelwright.data.sandbox import Sandbox
from modelwright.data.sources.reader import Reading
from modelwright.data.sources.settings import WarcSource
from modelwright.data.sources.warc import WarcReader

PROSE = "This is a paragraph of ordinary text that an extractor should find and keep. " * 5
PAGE = f"<html><head><title>A page</title></head><body><p>{PROSE}</p></body></html>".encode()
DATE = "2026-01-02T03:04:05Z"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as one:
        yield one


@pytest.fixture
def reading(sandbox: Sandbox, tmp_path: Path) -> Reading:
    return Reading(SilentProgress(), Drops(lambda line: None), sandbox, tmp_path / "kept")


def record(
    name: str, body: bytes = PAGE, status: str = "200 OK", kind: str = "response", **fields: str
) -> bytes:
    file = io.BytesIO()
    writer = WARCWriter(file, gzip=True)
    headers = {"Content-Type": "text/html", **{k.replace("_", "-"): v for k, v in fields.items()}}
    http = StatusAndHeaders(status, list(headers.items()), protocol="HTTP/1.1")
    about = {"WARC-Date": DATE, "WARC-Record-ID": f"<urn:x:{name}>"}  # the same bytes every time
    url = f"http://a.test/{name}"
    writer.write_record(
        writer.create_warc_record(
            url, kind, payload=io.BytesIO(body), http_headers=http, warc_headers_dict=about
        )
    )
    return file.getvalue()


def read(reading: Reading, path: Path, **settings: str) -> list[tuple[str, str]]:
    reader = WarcReader(WarcSource(path=str(path), extractor="resiliparse", **settings))
    return [(one.url, one.text) for one in reader.documents(reading)]


def test_pages_become_documents(reading: Reading, tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    chunks = b"5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (PAGE[:5], len(PAGE) - 5, PAGE[5:])
    path.write_bytes(
        record("page")
        + record("packed", gzip.compress(PAGE), Content_Encoding="gzip")
        + record("chunked", chunks, Transfer_Encoding="chunked")
        + record("joined", Transfer_Encoding="chunked")
        + record("plain", "Grüße\r\n".encode("latin-1"), Content_Type="text/plain; charset=latin-1")
        + record("request", kind="resource")
        + record("robots.txt", b"User-agent: *", Content_Type="text/plain")
    )
    settings = WarcSource(path=str(path), licence="cc by 4.0", extractor="resiliparse")
    documents = list(WarcReader(settings).documents(reading))
    assert [one.url.rpartition("/")[2] for one in documents] == [
        "page",
        "packed",
        "chunked",
        "joined",
        "plain",
    ]
    assert {one.sha256 for one in documents[:4]} == {documents[0].sha256}
    assert documents[4].text == "Grüße\n"
    first = documents[0]
    assert PROSE.strip() in first.text
    assert (first.title, first.fetched_at, first.licence, first.licence_from, first.source) == (
        "A page",
        DATE,
        "CC-BY-4.0",
        "settings",
        "warc:a.warc.gz",
    )


def test_what_is_left_out_is_counted(reading: Reading, tmp_path: Path) -> None:
    whole = record("page")
    reserved = PAGE.replace(b"<head>", b"<head><meta name=tdm-reservation content=1>")
    (tmp_path / "a.warc.gz").write_bytes(
        record("missing", status="404 Not Found")
        + record("image", b"\x89PNG", Content_Type="image/png")
        + record("secret", X_Robots_Tag="noai")
        + record("reserved", reserved)
        + record("bomb", gzip.compress(bytes(30_000_000)), Content_Encoding="gzip")
        + record("binary", b"a\0b", Content_Type="text/plain")
        + record("damaged")[:100]
        + whole
        + whole[:-60]
    )
    (tmp_path / "notes.txt").write_text("no archive")
    assert [url for url, _ in read(reading, tmp_path)] == ["http://a.test/page"]
    counts = reading.drops.counts
    assert counts.pop("broken WARC record") == 1
    assert counts == {
        "WARC record that is cut off": 1,
        "binary content": 1,
        "content of another type": 1,
        "expands too much when decompressed": 1,
        "not a WARC file": 1,
        "page reserves text and data mining": 1,
        "page says noai": 1,
        "response with another status than 200": 1,
    }


def test_a_source_without_a_page_is_an_error(reading: Reading, tmp_path: Path) -> None:
    (tmp_path / "a.warc.gz").write_bytes(record("x", status="500 Oops"))
    with pytest.raises(InputError, match="no page can be read here: 1 x response with another"):
        read(reading, tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read(reading, tmp_path / "none")


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(record("x"))
    reader = WarcReader(WarcSource(path=str(tmp_path)))
    before = reader.fingerprint()
    assert reader.fingerprint() == before
    path.write_bytes(record("x") + record("y"))
    assert reader.fingerprint() != before
