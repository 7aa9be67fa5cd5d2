"""Writes a share of the requests into the database, from a thread that holds up nobody."""

from __future__ import annotations

import hashlib
import logging
import threading
from contextlib import suppress
from queue import Empty, Full, Queue
from types import TracebackType

from modelwright.core.errors import ModelwrightError
from modelwright.core.workspace import Workspace
from modelwright.monitoring.request_log import LoggedRequest, RequestTable

LOGGER = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Requests that wait to be written; more are dropped and counted."""

CLOSING_SECONDS = 10.0

AT_ONCE = 100
"""Most requests in one transaction."""


def is_sampled(id: str, share: float) -> bool:
    """Whether a request of this id is among the share that is kept: the same answer each time.

    Parameters
    ----------
    id : str
        Of the request.
    share : float
        From 0 (none) to 1 (all).
    """
    digits = hashlib.sha256(id.encode()).digest()[:8]
    return int.from_bytes(digits) < share * 2**64


class RequestRecorder:
    """Redacts and writes in its own thread for as long as the ``with`` block lasts.

    At the end what waits is written.

    Parameters
    ----------
    table : RequestTable
        Nobody else may use it meanwhile; it is closed at the end.
    share : float
        Of the requests, which is chosen by their ids.
    most_waiting : int
        Requests that wait to be written; more are dropped.
    closing_seconds : float
        How long the end waits for a database that does not answer.

    Attributes
    ----------
    written, dropped : int
        Requests so far; dropped are also those that the database refused.
    """

    def __init__(
        self,
        table: RequestTable,
        share: float,
        most_waiting: int = MOST_WAITING,
        closing_seconds: float = CLOSING_SECONDS,
    ):
        self._table, self._share = table, share
        self._closing_seconds = closing_seconds
        self._queue: Queue[LoggedRequest | None] = Queue(most_waiting)
        self._lock = threading.Lock()  # guards the counts
        self.written = self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="request log", daemon=True)

    def __enter__(self) -> RequestRecorder:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(Full):
            self._queue.put(None, timeout=self._closing_seconds)
        self._thread.join(self._closing_seconds)
        if self._thread.is_alive():
            LOGGER.error("the request log is not complete: the database does not take it in time")
        else:
            self._table.close()

    def is_wanted(self, id: str) -> bool:
        """Whether a request of this id is to be recorded."""
        return is_sampled(id, self._share)

    def record(self, request: LoggedRequest) -> None:
        """Have a request written; returns at once, whatever the database does."""
        try:
            self._queue.put_nowait(request)
        except Full:
            with self._lock:
                self.dropped += 1

    def _run(self) -> None:
        is_open = True
        while is_open:
            batch = [self._queue.get()]
            while len(batch) < AT_ONCE and batch[-1] is not None:
                try:
                    batch.append(self._queue.get_nowait())
                except Empty:
                    break
            is_open = batch[-1] is not None
            self._write([one for one in batch if one is not None])

    def _write(self, batch: list[LoggedRequest]) -> None:
        try:
            self._table.add([one.redacted() for one in batch])
        except ModelwrightError as error:
            LOGGER.error("%d requests are not in the request log: %s", len(batch), error)
            with self._lock:
                self.dropped += len(batch)
        else:
            with self._lock:
                self.written += len(batch)


def open_recorder(workspace: Workspace, share: float) -> RequestRecorder:
    """One that writes that share into a workspace's database.

    Raises
    ------
    ModelwrightError
        If its recipe or its database cannot be used.
    """
    return RequestRecorder(RequestTable(workspace.store_url(), workspace.identity()), share)
