from __future__ import annotations

import pytest

from modelwright.data.jsonl import Line, read_lines


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.jsonl"


def test_blank_lines_are_counted_but_not_yielded(path):
    path.write_bytes(b"\xef\xbb\xbfone\r\n\n  \ntwo")
    assert list(read_lines(path)) == [Line(1, b"one"), Line(4, b"two")]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_over_the_limit_is_skipped_and_the_next_is_read(path, end):
    path.write_bytes(b"0123456789\n" + b"x" * 3_000_000 + b"\nshort\n" + b"y" * 11 + end)
    lines = list(read_lines(path, max_bytes=10))
    assert lines == [Line(1, b"0123456789"), Line(2, None), Line(3, b"short"), Line(4, None)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_wide_encodings_with_a_mark_are_read(path, encoding):
    path.write_bytes('{"text": "é"}\n{"text": "ü"}\n'.encode(encoding))
    assert [line.raw.decode() for line in read_lines(path)] == ['{"text": "é"}', '{"text": "ü"}']
    assert list(read_lines(path, max_bytes=20)) == [Line(1, None)]


def test_an_empty_file_has_no_lines(path):
    path.write_bytes(b"")
    assert list(read_lines(path)) == []
