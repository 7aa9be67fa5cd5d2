"""The client's side of a streamed completion: when each piece came, and how the answer ended.

A plain reader instead of a client library, because the clients share a core with each other and
should not be what is measured. Whatever a server does wrong is kept in the stream, never raised.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

SHOWN = 200
"""Characters of a server's error that are kept."""


@dataclass
class Stream:
    """What one client saw of an answer, in seconds of one clock."""

    asked: float = field(default_factory=time.monotonic)
    pieces: list[float] = field(default_factory=list)
    reason: str | None = None
    error: str | None = None
    cut_off: bool = False
    """Given up by the client, as its time was over."""

    @property
    def good(self) -> bool:
        """Given to its full length."""
        return self.failure is None and not self.cut_off

    @property
    def failure(self) -> str | None:
        """What went wrong on the server's side, or nothing."""
        if self.error or self.cut_off:
            return self.error
        return None if self.reason == "length" else f"ended before its length: {self.reason}"

    @property
    def first(self) -> float:
        """Seconds to the first piece; there must be one."""
        return self.pieces[0] - self.asked

    @property
    def gaps(self) -> list[float]:
        """From each piece to the next."""
        return [later - earlier for earlier, later in pairwise(self.pieces)]

    def take(self, event: Any) -> None:
        """Note an event: a piece, an error, or one without choices, as that of the usage."""
        match event:
            case {"error": error} if error:
                self.error = f"error event: {json.dumps(error)[:SHOWN]}"
            case {"choices": [{**choice}, *_]}:
                self.pieces.append(time.monotonic())
                self.reason = choice.get("finish_reason") or self.reason
            case {"choices": [] | None}:
                pass
            case {"choices": _}:
                raise ValueError(f"an event without an object as choice: {str(event)[:SHOWN]}")
            case dict():
                pass
            case _:
                raise ValueError(f"an event that is no object: {str(event)[:SHOWN]}")


async def ask(stream: Stream, port: int, body: dict[str, Any]) -> None:
    """One request to ``/v1/completions`` over a connection of its own; fills ``stream``."""
    data = json.dumps({**body, "stream": True}).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    writer = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        writer.write(head.encode() + data)
        await read_answer(reader, stream)
    except asyncio.CancelledError:
        stream.cut_off = True
        raise
    except OSError as error:
        stream.error = f"connection: {error}"
    finally:
        if writer:
            writer.close()


async def read_answer(reader: asyncio.StreamReader, stream: Stream) -> None:
    """Read an HTTP answer of events to its end."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        chunked = b"\r\ntransfer-encoding: chunked" in head
        body = chunks(reader) if chunked else pieces_of(reader)
        if head.split()[1] != b"200":
            text = b"".join([part async for part in body]).decode(errors="replace")
            stream.error = f"HTTP {head.split()[1].decode()}: {text[:SHOWN]}"
            return
        async for line in lines(body):
            if line.startswith(b"data:") and line[5:].strip() != b"[DONE]":
                stream.take(json.loads(line[5:]))
        if stream.reason is None and stream.error is None:
            stream.error = f"ended without a reason after {len(stream.pieces)} pieces"
    except (asyncio.IncompleteReadError, ConnectionError):
        # An error that the server told before is the better explanation.
        stream.error = stream.error or f"broken off after {len(stream.pieces)} pieces"
    except (
        ValueError,
        LookupError,
        AttributeError,
        asyncio.LimitOverrunError,
    ) as wrong:
        stream.error = stream.error or f"no stream of events: {str(wrong)[:SHOWN]}"


async def pieces_of(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """A body that ends with the connection."""
    while part := await reader.read(1 << 16):
        yield part


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The chunks of a chunked body (RFC 9112, section 7.1)."""
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        yield (await reader.readexactly(size + 2))[:-2]


async def lines(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines of a body, which may be split anywhere."""
    rest = b""
    async for part in body:
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield line
    if rest:
        yield rest
