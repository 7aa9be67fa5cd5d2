"""Which encoding a web page is in, and decoding it."""

from __future__ import annotations

import re

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

from modelwright.data.decoding import REPLACEMENT, decode, has_wide_mark, one_line_end

STATED_WITHIN = 1024
"""Where the HTML standard lets a page state its encoding, in bytes from its start."""
DETECT_FROM = 131_072
"""Bytes that the detector looks at."""

_META = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE)
_XML = re.compile(rb"""^\s*<\?xml[^>]{0,200}encoding\s*=\s*["']([\w.:-]{1,40})["']""")
_HEADER = re.compile(r"""charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE)
_ESCAPE = b"\x1b"  # switches character sets in ISO-2022-JP

# Encoding Standard (WHATWG), section 4.2: labels stand for supersets of what they name.
_SUPERSETS = {
    "big5": "big5hkscs",
    "euc_kr": "cp949",
    "gbk": "gb18030",
    "iso8859-11": "cp874",
    "shift_jis": "cp932",
}


def decode_page(raw: bytes, content_type: str = "") -> tuple[str, int]:
    """Decode a page: byte order mark, then valid UTF-8, HTTP header, meta element, detector.

    Bytes that are valid UTF-8 and not plain ASCII are hardly ever anything else, whatever is said
    of them. UTF-7 and unknown labels do not count as statements: a page that is read in an encoding
    which its author did not mean can say something else than was checked.

    Parameters
    ----------
    raw : bytes
    content_type : str
        HTTP header of that name, or "".

    Returns
    -------
    text : str
    replaced : int
        How many U+FFFD stand for bytes that could not be read.
    """
    from_header = _known(_first_group(_HEADER, content_type))
    stated = from_header or _stated_inside(raw)
    if _hides_in_ascii(raw, stated, from_header):
        return _decode_as(raw, stated)
    return decode(raw, fallback=stated or _detected(raw))


def _hides_in_ascii(raw: bytes, stated: str, from_header: str) -> bool:
    """Whether these bytes would pass for UTF-8 but are said to be something else."""
    if has_wide_mark(raw):
        return False
    if stated == "iso2022_jp":
        return _ESCAPE in raw
    # A statement that is readable as ASCII cannot be true of UTF-16; only the header's can.
    return from_header.startswith("utf-16") and b"\0" in raw


def _decode_as(raw: bytes, encoding: str) -> tuple[str, int]:
    text = raw.decode(encoding, errors="replace")
    replaced = text.count(REPLACEMENT) - raw.decode(encoding, errors="ignore").count(REPLACEMENT)
    return one_line_end(text), replaced


def _stated_inside(raw: bytes) -> str:
    head = raw[:STATED_WITHIN]
    match = _XML.search(head) or _META.search(head)
    encoding = _known(match.group(1).decode("ascii", "replace")) if match else ""
    return "utf-8" if encoding.startswith("utf-16") else encoding


def _detected(raw: bytes) -> str:
    return _known(detect_encoding(raw[:DETECT_FROM]) or "") or "utf-8"


def _known(label: str) -> str:
    """Python's name of the encoding that the HTML standard means by a label, or ""."""
    name = map_encoding_to_html5(label, False) if label else None
    return _SUPERSETS.get(name, name) if name else ""


def _first_group(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match.group(1) if match else ""
