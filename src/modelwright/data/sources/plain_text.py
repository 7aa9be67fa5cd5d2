"""Plain text: its encoding where it is not Unicode, and its title."""

from __future__ import annotations

import codecs
import re

from resiliparse.parse.encoding import detect_encoding

from modelwright.data.decoding import decode
from modelwright.data.sources.file_types import Format

SAMPLE_BYTES = 128 * 2**10
"""What the detector looks at."""

MIN_EVIDENCE = 16
"""Bytes above ASCII from which on the detector is believed; on a few words it guesses."""

_LAST_RESORT = "utf-8"
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
# Letters and typography of Windows-1252 where they stand in English text: within or beside a word.
# The dashes, quotes and dots of 0x80-0x9f are control codes in the ISO encodings.
_WESTERN = re.compile(
    rb"(?<=[A-Za-z])[\xc0-\xd6\xd8-\xf6\xf8-\xff]{1,2}(?![\x80-\xff])"
    rb"|(?<![\x80-\xff])[\xc0-\xd6\xd8-\xf6\xf8-\xff]{1,2}(?=[A-Za-z])"
    rb"|[\x80\x82\x84\x85\x91-\x97\x99\xa0\xa3\xa7\xa9\xab\xae\xb0\xb7\xbb]"
)
# What people write under these labels is the superset (WHATWG Encoding Standard, section 4.2).
_SUPERSETS = {
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}


def decode_text(raw: bytes) -> tuple[str, int]:
    """Decode a text: byte order mark, UTF-8, else the encoding that its bytes look like.

    Returns
    -------
    text : str
        With line feeds for line ends.
    replaced : int
        How many U+FFFD stand for bytes that could not be read.
    """
    return decode(raw, fallback=legacy_encoding(raw))


def legacy_encoding(raw: bytes) -> str:
    """The encoding that text looks like, or "utf-8" where that fits best or nothing is sure.

    Parameters
    ----------
    raw : bytes
        A text or the start of one.
    """
    raw = raw[:SAMPLE_BYTES]
    above = len(_NOT_ASCII.findall(raw))
    if not above or raw.startswith(_BYTE_ORDER_MARKS) or _is_damaged_utf8(raw):
        return _LAST_RESORT
    if above < MIN_EVIDENCE:
        is_western = sum(len(found) for found in _WESTERN.findall(raw)) == above
        return "cp1252" if is_western else _LAST_RESORT
    return _known(detect_encoding(raw) or "")


def title_of(text: str, kind: Format, stem: str) -> str:
    """The title of a text: its first heading if it begins with one, else the file's name."""
    first, _, rest = text.lstrip().partition("\n")
    if kind == "markdown" and first.startswith("#"):
        return first.strip("# \t") or stem
    if kind == "restructured":
        return _restructured_title(first.strip(), rest.partition("\n")) or stem
    return stem


def _is_damaged_utf8(raw: bytes) -> bool:
    """Whether most of what is above ASCII is valid UTF-8: chance hardly makes such sequences."""
    valid = sum(not character.isascii() for character in raw.decode("utf-8", "ignore"))
    broken = raw.decode("utf-8", "replace").count("\ufffd")
    return valid >= broken


def _known(label: str) -> str:
    try:
        name = codecs.lookup(label).name
    except LookupError:
        return _LAST_RESORT
    if name.startswith(("utf-16", "utf-32", "utf-7")):  # without a mark: a guess on binary data
        return _LAST_RESORT
    return _SUPERSETS.get(name, name)


def _restructured_title(first: str, rest: tuple[str, str, str]) -> str:
    """The heading of reStructuredText: a line with an underline, and perhaps an overline."""
    second, _, after = rest
    if _is_rule(first):
        third = after.partition("\n")[0]
        return second.strip() if _is_rule(third) else ""
    return first if _is_rule(second) else ""


def _is_rule(line: str) -> bool:
    line = line.rstrip()
    return len(line) >= 3 and len(set(line)) == 1 and line[0] in "=-`:'\"~^_*+#<>."
