"""Stopping between two steps: Ctrl-C and SIGTERM must not cut an optimizer step in half."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether someone asked to stop."""

    def __init__(self) -> None:
        self.is_asked = False

    def ask(self, _signal: int, _frame: FrameType | None) -> None:
        """Note the first request; a second one stops at once, whatever is going on."""
        if self.is_asked:
            raise KeyboardInterrupt
        self.is_asked = True


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
