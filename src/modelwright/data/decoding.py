"""From bytes to text, with a count of what could not be read."""

from __future__ import annotations

import codecs
import re

REPLACEMENT = "\ufffd"
BINARY_SHARE = 0.3
"""Bytes are no text if more than this share of their characters is broken or control codes."""

# UTF-32 before UTF-16: its little-endian mark begins with the other's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")  # escape and white space are text
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def decode(raw: bytes, fallback: str = "utf-8") -> tuple[str, int]:
    """Decode a file's bytes and give all line ends one form.

    Parameters
    ----------
    raw : bytes
        The whole file, with or without a byte order mark.
    fallback : str
        Encoding to try where there is no mark and the bytes are not UTF-8.

    Returns
    -------
    text : str
    replaced : int
        How many U+FFFD stand for bytes that could not be read.
    """
    encoding, start = _marked_encoding(raw)
    raw = raw[start:]
    try:
        text, replaced = raw.decode(encoding or "utf-8"), 0
    except UnicodeDecodeError:
        chosen = encoding or fallback
        text = raw.decode(chosen, errors="replace")
        replaced = text.count(REPLACEMENT) - raw.decode(chosen, errors="ignore").count(REPLACEMENT)
    return one_line_end(text), replaced


def one_line_end(text: str) -> str:
    """Put a line feed for every kind of line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_binary(raw: bytes) -> bool:
    """Whether bytes without a byte order mark hold a NUL, which no text does."""
    return b"\0" in raw and _marked_encoding(raw)[0] is None


def is_garbage(text: str, replaced: int) -> bool:
    """Whether decoded text is mostly broken bytes and control characters."""
    broken = replaced + sum(1 for _ in _CONTROL.finditer(text))
    return broken > BINARY_SHARE * len(text)


def has_wide_mark(raw: bytes) -> bool:
    """Whether bytes begin with the mark of UTF-16 or UTF-32."""
    return _marked_encoding(raw)[0] not in (None, "utf-8")


def replace_surrogates(text: str) -> tuple[str, int]:
    """Put U+FFFD for lone surrogates, which JSON can carry and UTF-8 cannot.

    Returns
    -------
    text : str
    replaced : int
    """
    return _SURROGATE.subn(REPLACEMENT, text)


def _marked_encoding(raw: bytes) -> tuple[str | None, int]:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if raw.startswith(mark):
            return encoding, len(mark)
    return None, 0
