"""Lines of .jsonl files, read in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from modelwright.data.decoding import decode, has_wide_mark

MAX_BYTES = 64 * 2**20
"""Largest document or line that is read, in bytes."""

TOO_LARGE = f"larger than {MAX_BYTES // 2**20} MiB"
_SKIP_BYTES = 2**20
_UTF8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Line:
    """One line that is not blank.

    Attributes
    ----------
    number : int
        Counted from 1, blank lines too.
    raw : bytes or None
        Its bytes without the line end; None if there are more than the limit.
    """

    number: int
    raw: bytes | None


def read_lines(path: Path, max_bytes: int = MAX_BYTES) -> Iterator[Line]:
    """Yield the lines of a file that are not blank; see :func:`lines_of`."""
    with open(path, "rb") as file:
        yield from lines_of(file, max_bytes)


def lines_of(file: io.BufferedReader, max_bytes: int = MAX_BYTES) -> Iterator[Line]:
    """Yield the lines of a stream that are not blank; a longer line than ``max_bytes`` is skipped.

    A mark of UTF-8 at the start is taken off; what is in UTF-16 is read if it is not larger than
    ``max_bytes`` as a whole.
    """
    head = file.peek(4)[:4]
    if not has_wide_mark(head):
        if head.startswith(_UTF8_MARK):
            file.read(len(_UTF8_MARK))
        yield from _split(file, max_bytes)
        return
    raw = file.read(max_bytes + 1)
    if len(raw) > max_bytes:
        yield Line(1, None)
        return
    text, _ = decode(raw)
    yield from _split(io.BytesIO(text.encode("utf-8", errors="replace")), max_bytes)


def _split(file: BinaryIO, max_bytes: int) -> Iterator[Line]:
    number = 0
    while raw := file.readline(max_bytes + 1):
        number += 1
        if len(raw) > max_bytes and not raw.endswith(b"\n"):
            while (rest := file.readline(_SKIP_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield Line(number, None)
        elif stripped := raw.strip():
            yield Line(number, stripped)
