"""A worker process that extracts documents: starting it, asking it, and why it was lost."""

from __future__ import annotations

from typing import Any

from modelwright.core.processes.frames import BrokenFrameError
from modelwright.core.processes.process import Loss, WorkerProcess, bare_environment
from modelwright.data.extract.extracted import Extracted

TOO_MUCH_MEMORY = "took too much memory"
TOO_LONG = "took too long"
CRASHED = "crashed the extractor"
REASONS: dict[Loss, str] = {"time": TOO_LONG, "memory": TOO_MUCH_MEMORY, "crash": CRASHED}

BUSY_PATIENCE = 10
"""How many times its limit by the clock a worker may take that is at work."""

_WORKER_MODULE = "modelwright.data.extract.worker"


def start_worker(memory_bytes: int) -> WorkerProcess:
    """Start a process that extracts one document after another in so much address space."""
    return WorkerProcess(
        _WORKER_MODULE,
        [str(memory_bytes)],
        environment=bare_environment(),
        max_body=memory_bytes,
    )


def extract_in(
    worker: WorkerProcess, header: dict[str, Any], raw: bytes, wall_seconds: float
) -> Extracted | str:
    """Hand over a document; wait for what it gives, or the reason why it gives nothing.

    Raises
    ------
    LostError
        If the process ended, or was ended, instead of answering.
    """
    header = {**header, "alarm_seconds": wall_seconds * BUSY_PATIENCE}
    return worker.ask(header, raw, wall_seconds, _result, patience=BUSY_PATIENCE)


def _result(answer: dict[str, Any], text: bytes) -> Extracted | str:
    """Check what a worker sent; it has read untrusted bytes, so it is not trusted either."""
    match answer:
        case {"reason": str(reason)}:
            return reason
        case {
            "title": str(title),
            "replaced": int(replaced),
            "licence": str(licence),
            "licence_from": str(licence_from),
        }:
            try:
                return Extracted(text.decode(), title, replaced, licence, licence_from)
            except UnicodeDecodeError as error:
                raise BrokenFrameError("no UTF-8") from error
        case _:
            raise BrokenFrameError("no answer")
