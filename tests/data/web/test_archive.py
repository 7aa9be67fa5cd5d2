from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator
from warcio.checker import Checker

from modelwright.data.web.archive import ArchiveWriter, read_index, segments
from modelwright.data.web.client import Response
from modelwright.data.web.urls import parse_url
from modelwright.data.web.warc import Broken, Capture, read_captures

DATE = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Encoding", "gzip"),
    ("Content-Length", "12"),
    ("ETag", '"v1"'),
    ("X-Odd", "caf\xe9"),
)


def response(path: str, body: bytes = b"<p>hello</p>", status: int = 200) -> Response:
    url = parse_url(f"http://a.test/{path}")
    asked = (("Host", "a.test"), ("User-Agent", "test"))
    return Response(url, status, "OK", HEADERS, body, "192.0.2.1", DATE, asked)


def written(folder: Path, *paths: str) -> Path:
    with ArchiveWriter(folder) as archive:
        for path in paths:
            archive.add(response(path))
    return segments(folder)[-1]


def test_what_is_kept_of_a_response(tmp_path: Path) -> None:
    path = written(tmp_path, "1", "2")
    first, second = read_captures(path)
    assert isinstance(first, Capture)
    assert isinstance(second, Capture)
    assert (first.url, first.date, first.status) == (
        "http://a.test/1",
        "2026-03-04T05:06:07Z",
        200,
    )
    assert first.body == b"<p>hello</p>"
    assert first.header("content-encoding") == ""
    assert first.header("x-crawl-content-encoding") == "gzip"
    assert first.header("content-length") == str(len(first.body))
    index = read_index(tmp_path)
    assert index["http://a.test/2"].validators == {"If-None-Match": '"v1"'}
    assert index["http://a.test/2"].read() == second


def test_other_tools_can_read_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "1", "2")
    with open(path, "rb") as file:
        kinds = [
            (one.rec_type, one.rec_headers["WARC-Target-URI"]) for one in ArchiveIterator(file)
        ]
    first, second = "http://a.test/1", "http://a.test/2"
    assert kinds == [
        ("warcinfo", None),
        ("response", first),
        ("request", first),
        ("response", second),
        ("request", second),
    ]
    checker = Checker(type("Command", (), {"inputs": [str(path)], "verbose": False})())
    checker.process_all()
    assert checker.exit_value == 0, capsys.readouterr()


def test_an_unchanged_page_is_copied_with_its_date(tmp_path: Path) -> None:
    written(tmp_path / "old", "1")
    (earlier,) = read_index(tmp_path / "old").values()
    with ArchiveWriter(tmp_path / "new") as archive:
        archive.add_unchanged(earlier.read(), response("1", b"", 304))
    path = segments(tmp_path / "new")[0]
    (copy,) = read_captures(path)
    assert isinstance(copy, Capture)
    assert (copy.body, copy.date, copy.record_id, copy.headers) == (
        earlier.read().body,
        earlier.read().date,
        earlier.read().record_id,
        earlier.read().headers,
    )
    with open(path, "rb") as file:
        *_, revisit = [one.rec_headers for one in ArchiveIterator(file)]
    assert revisit["WARC-Type"] == "revisit"
    assert revisit["WARC-Refers-To"] == copy.record_id


def test_segments_are_bounded(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path, segment_bytes=1000) as archive:
        for number in range(5):
            archive.add(response(str(number)))
    assert len(segments(tmp_path)) > 1
    assert len(read_index(tmp_path)) == 5


def test_a_torn_record_is_cut_off_wherever_it_is_torn(tmp_path: Path) -> None:
    path = written(tmp_path, "1", "2")
    whole = path.read_bytes()
    second = read_index(tmp_path)["http://a.test/2"].offset
    for end in (*range(1, len(whole), 37), second, second + 1, len(whole) - 1):
        for old in segments(tmp_path):
            old.unlink()
        path.write_bytes(whole[:end])
        written(tmp_path, "3")
        captures = [one for file in segments(tmp_path) for one in read_captures(file)]
        assert all(isinstance(one, Capture) for one in captures), end
        assert captures[-1].url == "http://a.test/3"


def damaged(raw: bytes, start: int, stop: int) -> bytes:
    return raw[:start] + b"\0" * (stop - start) + raw[stop:]


@pytest.fixture(scope="module")
def raw_archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[int]]:
    folder = tmp_path_factory.mktemp("archive")
    path = written(folder, "0", "1", "2", "3")
    return path.read_bytes(), [entry.offset for entry in read_index(folder).values()]


def read(tmp_path: Path, raw: bytes) -> tuple[list[str], list[str]]:
    path = tmp_path / "a.warc"
    path.write_bytes(raw)
    found = list(read_captures(path))
    good = [one.url.rpartition("/")[2] for one in found if isinstance(one, Capture)]
    return good, [one.reason for one in found if isinstance(one, Broken)]


def test_damage_costs_only_the_record(tmp_path: Path, raw_archive: tuple[bytes, list[int]]) -> None:
    raw, starts = raw_archive
    broken = damaged(raw, starts[1] + 40, starts[1] + 80)
    assert read(tmp_path, broken) == (["0", "2", "3"], ["broken WARC record"])
    assert read(tmp_path, raw[: starts[1]] + b"garbage" * 9 + raw[starts[1] :]) == (
        ["0", "1", "2", "3"],
        ["broken WARC record"],
    )
    assert read(tmp_path, raw[: starts[3] + 20]) == (
        ["0", "1", "2"],
        ["WARC record that is cut off"],
    )


@pytest.mark.parametrize("length", ["5", "999999", "-5", "99999999999999999999999", "x"])
def test_a_record_that_lies_about_its_length(
    tmp_path: Path, raw_archive: tuple[bytes, list[int]], length: str
) -> None:
    raw = gzip.decompress(raw_archive[0])
    pattern = rb"(?s)(Target-URI: http://a.test/1\r\n.*?Content-Length: )\d+"
    lying = re.sub(pattern, rb"\g<1>" + length.encode(), raw, count=1)
    assert lying != raw
    good, reasons = read(tmp_path, lying)
    assert good == ["0", "2", "3"]
    assert len(reasons) == 1


@given(st.data(), st.booleans())
def test_what_lies_before_damage_is_read(
    raw_archive: tuple[bytes, list[int]],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    is_gzip: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.warc"
    raw = raw_archive[0] if is_gzip else gzip.decompress(raw_archive[0])
    path.write_bytes(raw)
    starts = [one.offset for one in read_captures(path)]
    start = data.draw(st.integers(0, len(raw) - 1))
    stop = data.draw(st.integers(start, min(len(raw), start + 200)))
    path.write_bytes(raw[:start] + data.draw(st.binary(max_size=20)) + raw[stop:])
    captures = [one for one in read_captures(path) if isinstance(one, Capture)]
    before = sum(following <= start for following in starts[1:])
    names = [one.url.rpartition("/")[2] for one in captures[:before]]
    assert names == [str(number) for number in range(before)]
    assert len(captures) <= 4


@pytest.mark.parametrize(
    "raw", [b"", b"junk\n" * 50, gzip.compress(b"junk" * 50, mtime=0), b"\x1f\x8b"]
)
def test_what_is_no_archive_holds_nothing(tmp_path: Path, raw: bytes) -> None:
    assert read(tmp_path, raw)[0] == []


def test_a_changed_body_does_not_match_its_digest(
    tmp_path: Path, raw_archive: tuple[bytes, list[int]]
) -> None:
    raw = gzip.decompress(raw_archive[0]).replace(b"hello", b"HELLO", 1)
    assert read(tmp_path, raw) == (["1", "2", "3"], ["WARC record that does not match its digest"])
