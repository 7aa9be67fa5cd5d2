from __future__ import annotations

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.data.decoding import decode, is_binary, is_garbage

LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufeff"))


@settings(deadline=None)
@given(text=LINES, broken=st.integers(0, 5))
def test_broken_bytes_are_counted_and_what_was_there_is_not(text, broken):
    raw = b"a\xff" * broken + text.encode()
    assert decode(raw) == ("a\ufffd" * broken + text, broken)


@settings(deadline=None)
@given(text=LINES)
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
def test_byte_order_marks_are_obeyed_and_taken_off(mark, encoding, text):
    if encoding == "utf-16-le" and text.startswith("\0"):
        return  # the same bytes are the mark of UTF-32
    assert decode(mark + text.encode(encoding)) == (text, 0)


def test_line_ends_become_one_kind():
    assert decode(b"a\r\nb\rc\nd")[0] == "a\nb\nc\nd"


def test_the_fallback_is_used_for_what_is_not_utf8():
    assert decode("caf\xe9".encode("latin-1"), fallback="latin-1") == ("caf\xe9", 0)
    assert decode("caf\xe9".encode(), fallback="latin-1") == ("caf\xe9", 0)


def test_binary_is_told_from_text():
    assert is_binary(b"\x7fELF\0\0")
    assert not is_binary("text \U0001f642".encode())
    assert not is_binary(codecs.BOM_UTF16_LE + "text".encode("utf-16-le"))
    assert is_garbage(*decode(bytes(range(128, 256))))
    assert is_garbage("\x01\x02\x03abc", 0)
    assert not is_garbage("a\tb\n\x1b[1mbold\x1b[0m", 0)
