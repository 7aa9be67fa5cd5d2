"""Keeps web pages from talking to a server behind the back of the person before the browser.

A page on the internet can make a browser send requests to this machine, under its own name if it
has that name resolve to the loopback address (DNS rebinding). Such requests carry the page's name
in ``Host``, or a foreign ``Origin``. A server with keys may have any name, as that of a proxy
before it: a page that took its name has no key.
"""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from modelwright.serving.errors import error_response


def is_loopback(host: str) -> bool:
    """Whether a host's name or address (IPv6 with or without brackets) is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


class OriginGuard:
    """Refuses requests from pages of another origin, and to another name than this machine's.

    Parameters
    ----------
    app : ASGI application
        What stands behind it.
    loopback_only : bool
        Whether it must be called by a name of this machine.
    """

    def __init__(self, app: ASGIApp, loopback_only: bool = True):
        self.app, self.loopback_only = app, loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_http = scope["type"] == "http"
        refusal = _refusal(Headers(scope=scope), self.loopback_only) if is_http else None
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await error_response(403, refusal, code="forbidden")(scope, receive, send)


def _refusal(headers: Headers, loopback_only: bool) -> str | None:
    host = headers.get("host", "")
    if loopback_only and not is_loopback(_without_port(host)):
        return f"this server answers only to localhost and 127.0.0.1, not to '{host}'"
    origin = headers.get("origin")
    # A proxy before a server that others reach may speak https.
    schemes = ("http",) if loopback_only else ("http", "https")
    if origin is not None and origin.lower() not in [f"{one}://{host}".lower() for one in schemes]:
        return f"pages of another origin ('{origin}') may not use this server"
    return None


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
