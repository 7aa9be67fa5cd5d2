"""Threads that work on the same thing at once, a few hundred times a second."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable

import numpy as np

from modelwright.inference.kernels.threads import look_out

Work = Callable[[int], None]
"""A kernel that is called with the number of its thread, and is one of ``forward.py``."""


class ThreadTeam:
    """Runs kernels on the calling thread, which is the first, and on others beside it.

    Between two kernels the others look out for the next one for a moment before they sleep: a pool
    of threads takes 0.2 ms to begin, as long as all kernels of a small model.

    Parameters
    ----------
    size : int
        How many threads, the calling one included.

    Attributes
    ----------
    counters : int
        Address of what the kernels' threads count with (``kernels/threads.py``).
    """

    def __init__(self, size: int):
        self.size = size
        self._plan = _Plan()
        self.counters: int = self._plan.counters.ctypes.data
        for thread in range(1, size):
            threading.Thread(target=_take_part, args=(self._plan, thread), daemon=True).start()
        weakref.finalize(self, self._plan.end)

    def run(self, work: Work) -> None:
        """Run a kernel on all threads; returns when all of them have done it."""
        if self.size == 1:
            work(0)
            return
        self._plan.announce(work)
        try:
            # The others begin when the first has, in compiled code: an interrupt comes before that
            # or after the end, and nobody waits for somebody who is gone.
            work(0)
        finally:
            self._plan.work = None  # which may keep the team itself alive


class _Plan:
    """What the threads know of each other.

    Attributes
    ----------
    counters : int64 (2,)
        As ``kernels/threads.py`` has them; the second says how many kernels have begun.
    work : callable or None
        What has begun or is about to.
    announced : int
        How many have, that one included.
    is_over : bool
        Whether there will be no more.
    changed : threading.Condition
        Told when one of the last two changes.
    """

    def __init__(self) -> None:
        self.counters = np.zeros(2, np.int64)
        self.work: Work | None = None
        self.announced = 0
        self.is_over = False
        self.changed = threading.Condition()

    def announce(self, work: Work) -> None:
        with self.changed:
            self.work, self.announced = work, int(self.counters[1]) + 1
            self.changed.notify_all()

    def end(self) -> None:
        with self.changed:
            self.is_over = True
            self.changed.notify_all()


def _take_part(plan: _Plan, thread: int) -> None:
    done = 0
    while True:
        if plan.counters[1] > done:
            assert plan.work is not None
            plan.work(thread)
            done += 1
            continue
        with plan.changed:
            while plan.announced <= done and not plan.is_over:
                plan.changed.wait()
            if plan.is_over:
                return
        look_out(plan.counters.ctypes.data, done)
        if plan.counters[1] == done:  # the first thread waits for a core, or was interrupted
            time.sleep(0.001)
