"""Threads that work on the same thing at once, a few hundred times a second."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelwright.inference.kernels.threads import look_out

Work = Callable[[int], None]
"""Called with the number of its thread. All of it is one kernel, which begins with
``begin_together`` and ends with ``end_together`` (``kernels/threads.py``)."""

POLL_SECONDS = 0.001


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
        self._counters = np.zeros(2, np.int64)
        self.counters: int = self._counters.ctypes.data
        self._tasks = [SimpleQueue[_Task | None]() for _ in range(1, size)]
        self._process = os.getpid()
        for thread, tasks in enumerate(self._tasks, 1):
            threading.Thread(
                target=_take_part, args=(tasks, self._counters, thread), daemon=True
            ).start()
        weakref.finalize(self, _tell, self._tasks, None)

    def run(self, work: Work) -> None:
        """Run a kernel on all threads; returns when all of them have done it.

        One thread at a time may call it, in the process in which the team was made.
        """
        if self.size == 1:
            work(0)
            return
        if os.getpid() != self._process:  # the others are not here: they would be waited for
            raise RuntimeError("a network that runs on several threads does not outlive a fork")
        number = int(self._counters[1]) + 1
        try:
            _tell(self._tasks, _Task(number, work))
            # The others begin when this one has, in compiled code. So an interrupt comes before
            # that or after the end, and nobody waits for somebody who is gone.
            work(0)
        except BaseException:
            _tell(self._tasks, _Task(number, None))
            raise


class _Task(NamedTuple):
    """A kernel that has begun or is about to.

    Attributes
    ----------
    number : int
        How many have begun when it has.
    work : callable or None
        What to do; None if it is called off, unless it has begun.
    """

    number: int
    work: Work | None


def _tell(queues: list[SimpleQueue[_Task | None]], task: _Task | None) -> None:
    """Give all the next task; None lets them go. A queue needs no lock that could stay held."""
    for queue in queues:
        queue.put(task)


def _take_part(tasks: SimpleQueue[_Task | None], counters: NDArray[np.int64], thread: int) -> None:
    done: int | None = 0
    while done is not None:
        done = _do_next(tasks, counters, thread, done)


def _do_next(
    tasks: SimpleQueue[_Task | None], counters: NDArray[np.int64], thread: int, done: int
) -> int | None:
    """Do the next task, if it is not called off; gives how many are done, or None at the end.

    A function, so that nothing keeps the task, and with it perhaps the team, while it waits.
    """
    task = tasks.get()
    while task is not None and task.work is not None and task.number > done:
        number, work = task.number, task.work
        look_out(counters.ctypes.data, number - 1)
        has_begun = counters[1] >= number
        try:
            # What was told before it began is here by now: the last of it counts.
            task = tasks.get(not has_begun, POLL_SECONDS)
        except Empty:  # all is as it was told, or the first thread waits for a core
            if has_begun:
                work(thread)
                return number
    return None if task is None else done
