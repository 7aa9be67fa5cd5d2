"""Running one pure function over many tasks: in this process, on all cores, or on a Ray cluster.

Results come in the order of the tasks, so that where and how often in parallel they were worked
out does not show.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import logging
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TypeVar

from modelwright.core.errors import InputError, ModelwrightError, UsageError
from modelwright.data.settings import Place

T = TypeVar("T")
R = TypeVar("R")

TASKS_AHEAD = 2
"""Tasks that are handed out for each worker; more would only fill the memory with results."""


@dataclass(frozen=True)
class Execution:
    """Where tasks run.

    Attributes
    ----------
    workers : int
        Processes on this machine; 1 is this process itself.
    place : {"here", "ray"}
        On this machine, or on the Ray cluster that ``RAY_ADDRESS`` names (a local one without it).
    """

    workers: int = 1
    place: Place = "here"


def cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_ordered(
    function: Callable[[T], R], tasks: Sequence[T], execution: Execution
) -> Iterator[R]:
    """Yield ``function(task)`` for every task, in order.

    Parameters
    ----------
    function : callable
        A function of a module (not a lambda) or a frozen data class with ``__call__``: it is
        sent to the workers.
    tasks : sequence
        Small values; large data is better named by a path.
    execution : Execution
        Where they run.

    Raises
    ------
    InputError
        If a worker process was killed, as for want of memory.
    UsageError
        If Ray is asked for and not installed.
    """
    if execution.place == "ray":
        yield from _on_ray(function, tasks)
    elif execution.workers == 1 or len(tasks) <= 1:
        yield from map(function, tasks)
    else:
        yield from _in_processes(function, tasks, execution.workers)


def _in_processes(function: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[R]:
    others = set(multiprocessing.active_children())
    # "spawn": a fork of a process with threads (Polars, PyArrow) can stand still for ever.
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_worker,
    )
    remaining = iter(tasks)
    running: deque[Future[R]] = deque()
    is_done = False
    try:
        with _one_thread_each():
            for task in itertools.islice(remaining, workers * TASKS_AHEAD):
                running.append(pool.submit(function, task))
        while running:
            result = _result(running.popleft())
            for task in itertools.islice(remaining, 1):
                running.append(pool.submit(function, task))
            yield result
        is_done = True
    except BrokenProcessPool:
        raise InputError(
            "a worker process was ended from outside, perhaps for want of memory",
            fix="give less --memory or fewer --workers",
        ) from None
    finally:
        if not is_done:  # an error, Ctrl-C, or nobody wants the rest: a task may take minutes
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _result(future: Future[R]) -> R:
    # With the handler that Polars sets for Ctrl-C, only a wait with a time limit is cut short.
    while not future.done():
        concurrent.futures.wait([future], timeout=60)
    return future.result()


class _one_thread_each:  # noqa: N801 - used as a statement
    """While workers start: each has one core, so its libraries should use one thread."""

    _NAMES = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS")

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._NAMES}
        os.environ.update(dict.fromkeys(self._NAMES, "1"))

    def __exit__(self, *error: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent has gone, however it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None  # only workers begin here

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_ray(function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
    # Read when Ray is imported: without it, Ray tells its makers that it is used.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise UsageError(
            "Ray is not installed", fix="install it: pip install 'modelwright[ray]'"
        ) from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False, configure_logging=False)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors come as exceptions
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    numbers = ray.data.range(len(tasks), override_num_blocks=max(1, len(tasks)))
    shared = ray.put(list(tasks))

    def work(row: dict[str, int]) -> dict[str, bytes]:
        return {"answer": _answer(function, ray.get(shared)[row["id"]])}

    for row in numbers.map(work).iter_rows():
        error, result = pickle.loads(row["answer"])
        if error is not None:
            raise error
        yield result


def _answer(function: Callable[[T], R], task: T) -> bytes:
    """Error and result of a task; Ray would wrap the error in one of its own."""
    try:
        return pickle.dumps((None, function(task)))
    except (ModelwrightError, OSError) as error:
        return pickle.dumps((error, None))
