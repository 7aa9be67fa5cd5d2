"""Answers that are sent while they are being generated: server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from modelwright.core.errors import ModelwrightError
from modelwright.serving.api.choices import Choices
from modelwright.serving.api.responses import (
    ChatCompletionChunk,
    TextCompletion,
)
from modelwright.serving.errors import ErrorResponse, error_body

DONE = "data: [DONE]\n\n"


class EventStream(StreamingResponse):
    """Server-sent events; generation stops with them, however they end."""

    def __init__(self, events: AsyncIterator[str], choices: Choices):
        super().__init__(
            events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
        )
        self._choices = choices

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._choices.cancel()


def event(chunk: ChatCompletionChunk | TextCompletion, include_usage: bool) -> str:
    """One event; as OpenAI does, a delta has only what it changes, and usage only if wanted."""
    content = chunk.model_dump(exclude=None if include_usage else {"usage"})
    for choice in content["choices"]:
        if "delta" in choice:
            choice["delta"] = {k: v for k, v in choice["delta"].items() if v is not None}
    return _data(content)


def error_event(error: ModelwrightError) -> str:
    """What a stream that has begun says of an error."""
    return _data(ErrorResponse(error=error_body(error)).model_dump())


def _data(content: dict[str, object]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"
