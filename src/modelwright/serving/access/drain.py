"""The end of a server: nothing new is begun, and what was begun is finished."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from modelwright.serving.access.authentication import METRICS, OPEN
from modelwright.serving.errors import SERVER_ERROR, error_response

WATCHED = (*OPEN, METRICS)
"""What watches the server: answered to the last, and waited for by nobody."""


class Drain:
    """Whether a server is being stopped, and what it still has to do.

    Parameters
    ----------
    seconds : float
        How long running requests may take once the end is asked for.
    clock : callable
        Seconds that never go back.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic):
        self.seconds = seconds
        self.in_flight = 0
        """Requests that are being answered."""
        self._clock = clock
        self._until: float | None = None

    def begin(self) -> None:
        """Ask for the end; may be called from a signal handler."""
        self._until = self._clock() + self.seconds

    @property
    def has_begun(self) -> bool:
        """Whether the end was asked for."""
        return self._until is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do, or no time to do it."""
        return self.has_begun and (self.in_flight == 0 or self.seconds_left == 0)

    @property
    def seconds_left(self) -> float:
        """Until what still runs is given up."""
        return self.seconds if self._until is None else max(0.0, self._until - self._clock())


class DrainGate:
    """Counts requests that are under way, and answers 503 to new ones once the end was asked for.

    Parameters
    ----------
    app : ASGI application
        What stands behind it.
    drain : Drain
        Tells it.
    """

    def __init__(self, app: ASGIApp, drain: Drain):
        self.app, self._drain = app, drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in WATCHED:
            await self.app(scope, receive, send)
        elif self._drain.has_begun:
            wait = max(1, math.ceil(self._drain.seconds_left))
            refusal = error_response(
                503,
                "the server is being stopped and begins nothing new; try again later",
                type=SERVER_ERROR,
                code="server_stopping",
                headers={"Retry-After": str(wait), "Connection": "close"},
            )
            await refusal(scope, receive, send)
        else:
            self._drain.in_flight += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self._drain.in_flight -= 1
