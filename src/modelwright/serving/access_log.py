"""One line a request on standard error: JSON for programs, columns for people."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal, TextIO

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelwright.serving.access.drain import WATCHED
from modelwright.serving.trace import SCOPE, RequestTrace

LogForm = Literal["json", "text", "off"]

MOST_PATH_CHARACTERS = 200

OnEnd = Callable[[RequestTrace], None]


class AccessLog:
    """Follows each request with a trace, and tells of it when it has ended.

    Parameters
    ----------
    app : ASGI application
        What stands behind it; finds the trace as ``scope["trace"]``.
    on_end : sequence of callable
        Who is told; none may block.
    """

    def __init__(self, app: ASGIApp, on_end: Sequence[OnEnd]):
        self.app, self._on_end = app, on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"][:MOST_PATH_CHARACTERS]
        trace = scope[SCOPE] = RequestTrace(scope["request_id"], scope["method"], path)

        async def with_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                trace.status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, with_status)
        finally:
            _complete(trace, scope)
            for tell in self._on_end:
                tell(trace)


def _complete(trace: RequestTrace, scope: Scope) -> None:
    trace.seconds = time.monotonic() - trace.started
    trace.status = trace.status or 500  # an error that nobody expected is answered outside
    trace.route = getattr(scope.get("route"), "path", "")
    if "account" in scope:
        trace.key = scope["account"].key.name


class LineWriter:
    """Writes a line for each request but those that only watch the server.

    Parameters
    ----------
    form : {"json", "text", "off"}
        How.
    with_texts : bool
        Whether prompts and answers are in the lines of JSON.
    file : text file, optional
        Where to; standard error by default.
    """

    def __init__(self, form: LogForm, with_texts: bool = False, file: TextIO | None = None):
        self._form, self._with_texts = form, with_texts
        self._file = file or sys.stderr

    def __call__(self, trace: RequestTrace) -> None:
        if self._form == "off" or trace.path in WATCHED:
            return
        if self._form == "json":
            line = json.dumps(fields_of(trace, self._with_texts), ensure_ascii=False)
        else:
            line = _columns(trace)
        # Who reads no log any more must not end the server.
        with suppress(OSError, UnicodeError):
            self._file.write(line + "\n")
            self._file.flush()


def fields_of(trace: RequestTrace, with_texts: bool) -> dict[str, Any]:
    """What is logged of a request, by name."""
    fields: dict[str, Any] = {
        "time": trace.at,
        "request_id": trace.request_id,
        "key": trace.key,
        "method": trace.method,
        "route": trace.route or trace.path,
        "model": trace.model,
        "status": trace.status,
        "prompt_tokens": trace.prompt_tokens,
        "generated_tokens": trace.generated_tokens,
        "waiting_seconds": _rounded(trace.waiting_seconds),
        "first_token_seconds": _rounded(trace.first_token_seconds),
        "total_seconds": _rounded(trace.seconds),
        "finish_reason": trace.finish_reason,
    }
    if with_texts:
        fields |= {"prompt": list(trace.asked), "answers": trace.answers}
    return fields


def _columns(trace: RequestTrace) -> str:
    parts = [
        f"{trace.at[11:19]} {trace.status} {trace.method:<4} {trace.route or _plain(trace.path)}",
        f"{trace.seconds:.2f} s",
    ]
    if trace.model is not None:
        parts.append(f"{trace.model}: {trace.prompt_tokens} + {trace.generated_tokens} tokens")
    if trace.first_token_seconds is not None:
        parts.append(f"first after {trace.first_token_seconds:.2f} s")
    parts += [part for part in (trace.finish_reason, trace.key) if part]
    return "  ".join([*parts, trace.request_id])


def _plain(text: str) -> str:
    """A path may hold what would break the line, or colour the terminal."""
    return "".join(one if one.isprintable() else "?" for one in text)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
