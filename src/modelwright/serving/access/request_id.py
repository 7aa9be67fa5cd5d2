"""Gives every answer the id of its request, so that both sides can speak of the same one.

Errors that nobody expected end here too, so that they also have one, in the answer and in the log.
"""

from __future__ import annotations

import logging
import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelwright.serving.errors import internal_error

LOGGER = logging.getLogger(__name__)

HEADER = "X-Request-Id"
_FORM = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestId:
    """Takes a request's own id, or makes one, and sends it back.

    Parameters
    ----------
    app : ASGI application
        What stands behind it; finds the id as ``scope["request_id"]``.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        # Of another form it could break the lines of a log.
        scope["request_id"] = given if _FORM.fullmatch(given) else f"req-{secrets.token_hex(12)}"

        has_begun = False

        async def with_id(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                MutableHeaders(scope=message)[HEADER] = scope["request_id"]
            await send(message)

        try:
            await self.app(scope, receive, with_id)
        except Exception:
            LOGGER.exception("request %s failed", scope["request_id"])
            if has_begun:
                raise
            await internal_error()(scope, receive, with_id)
