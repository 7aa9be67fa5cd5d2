"""Stopping between two steps: Ctrl-C and SIGTERM must not cut an optimizer step in half."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SAME_REQUEST_SECONDS = 1.0
"""Signals that come closer together are one request."""


class StopRequest:
    """Whether someone asked to stop."""

    def __init__(self) -> None:
        self.is_asked = False
        self._asked_at = 0.0

    def ask(self, _signal: int, _frame: FrameType | None) -> None:
        """Note the first request; a second one stops at once, whatever is going on.

        A launcher of several processes passes on what its terminal has sent them already, so that
        one Ctrl-C comes twice.
        """
        if not self.is_asked:
            self.is_asked, self._asked_at = True, time.monotonic()
        elif time.monotonic() - self._asked_at > SAME_REQUEST_SECONDS:
            raise KeyboardInterrupt


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """While the block runs, SIGINT and SIGTERM are only noted; afterwards all is as before."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # only the main thread may handle signals
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, request.ask)
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
