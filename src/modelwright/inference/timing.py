"""When things happened to a sequence."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Timing:
    """Times of one sequence, in seconds of a clock that never goes back.

    Attributes
    ----------
    arrived : float
        When it was asked for.
    started : float or None
        When it first left the queue.
    first_token, last_token : float or None
        When its first and its newest token came.
    interval : float or None
        From one token to the next in the newest step, but for its first.
    """

    arrived: float = field(default_factory=time.monotonic)
    started: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    interval: float | None = None

    def start(self) -> None:
        """It leaves the queue; it may do so again, if its room was taken."""
        if self.started is None:
            self.started = time.monotonic()

    def said(self, tokens: int) -> None:
        """So many tokens have come in one step."""
        if not tokens:
            return
        now = time.monotonic()
        if self.last_token is None:
            self.first_token = now
        else:
            self.interval = (now - self.last_token) / tokens
        self.last_token = now
