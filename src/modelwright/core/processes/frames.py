"""Messages between a program and its worker: a JSON header, then bytes, each with its length."""

from __future__ import annotations

import json
import struct
from typing import IO, Any

_LENGTHS = struct.Struct(">IQ")
OUT_OF_MEMORY = 71
"""Exit code of a worker that says so."""

MAX_HEADER = 1 << 24
MAX_BODY = 1 << 30


class BrokenFrameError(ValueError):
    """The other side sent something else, or ended in the middle."""


def write_frame(stream: IO[bytes], header: dict[str, Any], body: bytes) -> None:
    """Send one message."""
    head = json.dumps(header).encode()
    stream.write(_LENGTHS.pack(len(head), len(body)))
    stream.write(head)
    stream.write(body)
    stream.flush()


def read_frame(stream: IO[bytes], max_body: int = MAX_BODY) -> tuple[dict[str, Any], bytes] | None:
    """Receive one message, or None at the end of the stream.

    Raises
    ------
    BrokenFrameError
        If it is cut off, too long or no JSON object.
    """
    lengths = stream.read(_LENGTHS.size)
    if not lengths:
        return None
    if len(lengths) < _LENGTHS.size:
        raise BrokenFrameError("cut off")
    head_length, body_length = _LENGTHS.unpack(lengths)
    if head_length > MAX_HEADER or body_length > max_body:
        raise BrokenFrameError("too long")
    head, body = stream.read(head_length), stream.read(body_length)
    if len(head) < head_length or len(body) < body_length:
        raise BrokenFrameError("cut off")
    try:
        header = json.loads(head)
    except (ValueError, RecursionError) as error:
        raise BrokenFrameError("no JSON") from error
    if not isinstance(header, dict):
        raise BrokenFrameError("no JSON object")
    return header, body
