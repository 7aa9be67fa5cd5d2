"""Keeps web pages from talking to a server on the user's own machine behind his back.

A page on the internet can make a browser send requests to this machine, under its own name if it
has that name resolve to the loopback address (DNS rebinding). Such requests carry the page's name
in ``Host``, or a foreign ``Origin``.
"""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from modelwright.serving.openai_errors import error_response


def is_loopback(host: str) -> bool:
    """Whether a host's name or address (IPv6 with or without brackets) is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


class LoopbackGuard:
    """Refuses requests to another name than this machine's, or from another origin.

    Parameters
    ----------
    app : ASGI application
        What stands behind it.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await error_response(403, refusal, code="forbidden")(scope, receive, send)


def _refusal(headers: Headers) -> str | None:
    host = headers.get("host", "")
    if not is_loopback(_without_port(host)):
        return f"this server answers only to localhost and 127.0.0.1, not to '{host}'"
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host}".lower():
        return f"pages of another origin ('{origin}') may not use this server"
    return None


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
