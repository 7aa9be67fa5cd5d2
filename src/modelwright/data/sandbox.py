"""Extraction in worker processes with limits on memory and time.

A document that hangs, explodes or crashes its extractor costs that document and one process. What a
document gives does not depend on what its worker read before: a worker that is lost to a document
is replaced, and the document tried once more in a fresh one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self, TypeVar

from modelwright.core.processes.pool import WorkerPool
from modelwright.core.processes.process import LostError, WorkerProcess
from modelwright.data.extract.extracted import Extracted
from modelwright.data.extract.formats import KINDS, TIME_FACTORS, Options
from modelwright.data.extract.process import REASONS, extract_in, start_worker

IN_FLIGHT = 2
"""Tasks taken ahead, as a multiple of the workers."""
PATIENCE = 2
"""How much longer a document may take by the clock when it is tried again."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may take.

    Attributes
    ----------
    memory_bytes : int
        Address space of a worker, its program included.
    cpu_seconds : float
        Processor time.
    wall_seconds : float
        Time by the clock, for what waits instead of working: a worker that only waits for a
        processor is left ten times as long, so that a busy machine does not change the results.
    """

    memory_bytes: int = 1 << 30
    cpu_seconds: float = 10.0
    wall_seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Task:
    """A document to be extracted: its kind (see ``KINDS``), its bytes, and how to read it."""

    kind: str
    raw: bytes
    options: Options = Options()  # noqa: RUF009  (it is frozen)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a document gave nothing; short and without numbers, to be counted."""

    reason: str


class Sandbox:
    """Worker processes that extract text; none is started before there is something to extract.

    Parameters
    ----------
    workers : int
        Most processes at a time.
    limits : Limits
        What one document may take.
    kinds : mapping of str to str
        ``module:function`` by kind of document.

    Examples
    --------
    >>> with Sandbox(workers=1) as sandbox:
    ...     sandbox.extract(Task("notebook", b'{"nbformat": 4, "cells": []}'))
    Failure(reason='notebook without text')
    """

    def __init__(self, workers: int, limits: Limits = Limits(), kinds: Mapping[str, str] = KINDS):
        self._limits = limits
        self._kinds = kinds
        self._workers = workers
        self._pool = WorkerPool(workers, lambda: start_worker(limits.memory_bytes), "extract")
        self._second_try = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.close()

    def map(self, tasks: Iterable[tuple[T, Task]]) -> Iterator[tuple[T, Extracted | Failure]]:
        """Extract documents in parallel.

        Parameters
        ----------
        tasks : iterable of (key, Task)
            Taken as needed, twice as many as there are workers ahead.

        Yields
        ------
        key
            What came with the task.
        result : Extracted or Failure
            In the order of the tasks.
        """
        waiting: deque[tuple[T, Future[Extracted | Failure]]] = deque()
        try:
            for key, task in tasks:
                waiting.append((key, self._pool.threads.submit(self.extract, task)))
                if len(waiting) >= IN_FLIGHT * self._workers:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()

    def extract(self, task: Task) -> Extracted | Failure:
        """Extract one document."""
        try:
            with self._pool.worker() as worker:
                return self._ask(worker, task, patience=1)
        except LostError as lost:
            if lost.fair:
                return Failure(REASONS[lost.how])
        with self._second_try:
            try:
                with self._pool.worker(fresh=True) as worker:
                    return self._ask(worker, task, patience=PATIENCE)
            except LostError as lost:
                return Failure(REASONS[lost.how])

    def _ask(self, worker: WorkerProcess, task: Task, patience: int) -> Extracted | Failure:
        factor = TIME_FACTORS.get(task.kind, 1)
        wall_seconds = self._limits.wall_seconds * factor * patience
        header = {
            "function": self._kinds[task.kind],
            "options": asdict(task.options),
            "cpu_seconds": self._limits.cpu_seconds * factor,
        }
        result = extract_in(worker, header, task.raw, wall_seconds)
        return Failure(result) if isinstance(result, str) else result
