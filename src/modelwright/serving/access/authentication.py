"""Lets nobody in without a key, and no key beyond its limits."""

from __future__ import annotations

import base64
import logging

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelwright.core.errors import ModelwrightError
from modelwright.serving.access.keys import KeyFile
from modelwright.serving.access.keys import Scope as KeyScope
from modelwright.serving.access.rate_limits import Account, Accounts
from modelwright.serving.errors import LimitReachedError, error_response, limit_reached
from modelwright.serving.page import ASSETS

LOGGER = logging.getLogger(__name__)

OPEN = ("/health", "/ready", "/")
"""What load balancers ask, who have no key; and the chat page, which asks for one itself."""

METRICS = "/metrics"


class Authentication:
    """Answers 401 without a valid key, 403 if it is good for something else, 429 beyond its limits.

    The key comes as ``Authorization: Bearer KEY``, or as the password of HTTP's basic
    authentication, for which browsers ask by themselves.

    Parameters
    ----------
    app : ASGI application
        What stands behind it; finds the account as ``scope["account"]``.
    keys : KeyFile
        Who may come in.
    """

    def __init__(self, app: ASGIApp, keys: KeyFile):
        self.app = app
        self._keys, self._accounts = keys, Accounts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope["path"]):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            key = self._keys.find(_secret(headers.get("authorization", "")))
        except ModelwrightError as error:
            LOGGER.error("nobody can come in: %s", error)
            message = "the keys of this server cannot be read; its log says more"
            await error_response(503, message, type="server_error")(scope, receive, send)
            return
        if key is None:
            await _unauthorised(headers)(scope, receive, send)
            return
        wanted: KeyScope = "metrics" if scope["path"] == METRICS else "inference"
        if wanted not in key.scopes:
            message = f"the key '{key.name}' is not good for this; it needs the scope '{wanted}'"
            await error_response(403, message, code="insufficient_scope")(scope, receive, send)
            return
        account = self._accounts.of(key)
        if scope["method"] == "POST":
            wait = account.seconds_to_wait()
            if wait > 0:
                reached = LimitReachedError(key.name, wait)
                await limit_reached(reached, account.headers())(scope, receive, send)
                return
            account.take_request()
        scope["account"] = account

        async def with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(account.headers())
            await send(message)

        await self.app(scope, receive, with_limits)


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(ASSETS)


def account_of(request: Request) -> Account | None:
    """Whose request it is; None on a server without keys."""
    found: Account | None = request.scope.get("account")
    return found


def _secret(header: str) -> str:
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:
            return ""
    return ""


def _unauthorised(headers: Headers) -> ASGIApp:
    # Browsers then ask for a name, which does not matter, and a password.
    is_page = "text/html" in headers.get("accept", "")
    challenge = 'Basic realm="Modelwright: key as password"' if is_page else "Bearer"
    return error_response(
        401,
        "a valid key is needed: Authorization: Bearer KEY",
        code="invalid_api_key",
        headers={"WWW-Authenticate": challenge},
    )
