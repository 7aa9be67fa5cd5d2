"""Several worker processes of one kind, which are kept from one task to the next."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from modelwright.core.processes.process import WorkerProcess


class WorkerPool:
    """Worker processes, none of which is started before it is needed.

    Parameters
    ----------
    workers : int
        Threads that wait for them, and so most processes at a time.
    start : callable
        Starts one.
    name : str
        Of the threads.

    Attributes
    ----------
    threads : ThreadPoolExecutor
        Where tasks that use a worker are run.
    """

    def __init__(self, workers: int, start: Callable[[], WorkerProcess], name: str):
        self.threads = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._start = start
        self._idle: deque[WorkerProcess] = deque()
        self._all: set[WorkerProcess] = set()
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def worker(self, *, fresh: bool = False) -> Iterator[WorkerProcess]:
        """Lend a worker; it is taken back if it can be asked once more.

        ``fresh`` asks for one that was never asked anything.
        """
        worker = self._take(fresh)
        try:
            yield worker
        finally:
            with self._lock:
                if worker.is_usable:
                    self._idle.append(worker)
                else:
                    self._all.discard(worker)

    def close(self) -> None:
        """End all processes, whatever they do, and the threads that wait for them."""
        with self._lock:
            self._closed = True
            workers = list(self._all)
        for worker in workers:
            worker.kill()
        self.threads.shutdown(wait=True, cancel_futures=True)

    def _take(self, fresh: bool) -> WorkerProcess:
        with self._lock:
            if self._idle and not fresh:
                return self._idle.pop()
            if self._closed:
                raise RuntimeError("the worker processes have been ended")
            worker = self._start()
            self._all.add(worker)
        return worker
