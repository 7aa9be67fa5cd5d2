"""Answers that are sent while they are being generated: server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from modelwright.core.errors import ModelwrightError
from modelwright.serving.api.choices import Choices
from modelwright.serving.api.limits import Limits
from modelwright.serving.api.responses import (
    ChatCompletionChunk,
    TextCompletion,
)
from modelwright.serving.api.server_sent_events import KEEP_ALIVE, event_of
from modelwright.serving.api.waiting import unless_gone
from modelwright.serving.errors import ClientGoneError, ErrorResponse, error_body


class EventStream(Response):
    """Server-sent events; generation stops with them, however they end.

    The answer begins with the first event or, where that takes long, with a comment that keeps the
    connection open. What goes wrong before is an error with its status, what goes wrong later an
    event.

    Parameters
    ----------
    events : async iterator of str
        They raise what ends the answer early.
    choices : Choices
        What they are made of.
    limits : Limits
        Of the request.
    on_error : callable, optional
        Writes an error as an event.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncIterator[str],
        choices: Choices,
        limits: Limits,
        on_error: Callable[[ModelwrightError], str] | None = None,
    ):
        super().__init__(headers={"Cache-Control": "no-cache"})
        del self.headers["content-length"]
        self._events, self._choices, self._limits = events, choices, limits
        self._on_error = on_error or error_event
        self._has_begun = False
        self._writing = asyncio.Lock()
        self._silent_since = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._silent_since = asyncio.get_running_loop().time()
        keeping = asyncio.ensure_future(self._keep_alive(send))
        try:
            await unless_gone(receive, self._send_all(send))
        except ClientGoneError:
            if not self._has_begun:
                raise  # to be told as the status of an answer that nobody got
        finally:
            keeping.cancel()
            self._choices.cancel()

    async def _send_all(self, send: Send) -> None:
        try:
            async for one in self._events:
                await self._write(send, one)
        except ModelwrightError as error:
            if not self._has_begun:
                raise
            await self._write(send, self._on_error(error))
        async with self._writing:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _keep_alive(self, send: Send) -> None:
        """Say after every silence that the answer is still to come."""
        clock = asyncio.get_running_loop().time
        while True:
            left = self._silent_since + self._limits.keep_alive - clock()
            if left > 0:
                await asyncio.sleep(left)
            else:
                await self._write(send, KEEP_ALIVE)

    async def _write(self, send: Send, text: str) -> None:
        # One at a time, so that nothing comes before the beginning.
        async with self._writing:
            if not self._has_begun:
                self._has_begun = True
                await send(
                    {
                        "type": "http.response.start",
                        "status": self.status_code,
                        "headers": self.raw_headers,
                    }
                )
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
            self._silent_since = asyncio.get_running_loop().time()


def event(chunk: ChatCompletionChunk | TextCompletion, include_usage: bool) -> str:
    """One event; as OpenAI does, a delta has only what it changes, and usage only if wanted."""
    content = chunk.model_dump(exclude=None if include_usage else {"usage"})
    for choice in content["choices"]:
        if "delta" in choice:
            choice["delta"] = {k: v for k, v in choice["delta"].items() if v is not None}
    return event_of(content)


def error_event(error: ModelwrightError) -> str:
    """What a stream that has begun says of an error."""
    return event_of(ErrorResponse(error=error_body(error)).model_dump())
