from __future__ import annotations

import codecs

import pytest

from modelwright.data.extract.charset import decode_page

GERMAN = "<p>Größe über alles, die Straße führt zur schönen Brücke</p>"
RUSSIAN = "<p>Съешь же ещё этих мягких французских булок, да выпей чаю</p>"
JAPANESE = "<p>これは日本語の文章です。文字コードを検出します。</p>"


@pytest.mark.parametrize(
    ("raw", "content_type", "expected"),
    [
        (codecs.BOM_UTF8 + GERMAN.encode(), "text/html; charset=koi8-r", GERMAN),
        (codecs.BOM_UTF16_LE + GERMAN.encode("utf-16-le"), "text/html; charset=utf-8", GERMAN),
        (RUSSIAN.encode("koi8-r"), 'text/html; charset="KOI8-R"', RUSSIAN),
        (b"<meta charset=latin1>" + RUSSIAN.encode("koi8-r"), "charset=koi8-r", RUSSIAN),
        (b"<meta charset=koi8-r>" + RUSSIAN.encode("koi8-r"), "", RUSSIAN),
        (b"<meta charset=koi8-r>" + RUSSIAN.encode("koi8-r"), "text/html; charset=x-odd", RUSSIAN),
        (b'<?xml version="1.0" encoding="koi8-r"?>' + RUSSIAN.encode("koi8-r"), "", RUSSIAN),
        (RUSSIAN.encode("cp1251"), "", RUSSIAN),
        (JAPANESE.encode("shift_jis"), "", JAPANESE),
        (JAPANESE.encode("iso2022_jp"), "text/html; charset=iso-2022-jp", JAPANESE),
        (JAPANESE.encode("utf-16-le"), "text/html; charset=utf-16le", JAPANESE),
        (GERMAN.encode(), "text/html; charset=iso-8859-1", GERMAN),
        ("<p>“quoted”</p>".encode("cp1252"), "text/html; charset=iso-8859-1", "<p>“quoted”</p>"),
    ],
)
def test_byte_order_mark_then_header_then_page_then_detector(raw, content_type, expected):
    text, replaced = decode_page(raw, content_type)
    assert text.endswith(expected)
    assert replaced == 0


@pytest.mark.parametrize("label", ["utf-7", "unicode-1-1-utf-7", "klingon", "hz-gb-2312", "utf-32"])
def test_labels_that_do_not_count(label):
    raw = b"<p>+ADw-script+AD4-</p>"
    assert decode_page(raw, f"text/html; charset={label}") == (raw.decode(), 0)
    assert "<script" not in decode_page(f"<meta charset={label}>".encode() + raw)[0]


def test_broken_bytes_are_counted():
    text, replaced = decode_page(GERMAN.encode() + b"\xff\xff", "text/html; charset=utf-8")
    assert text == GERMAN + "\ufffd\ufffd"
    assert replaced == 2


def test_one_broken_byte_does_not_change_the_rest():
    text, replaced = decode_page((GERMAN * 10).encode() + b"\xff" + GERMAN.encode())
    assert "Größe" in text
    assert replaced == 1
