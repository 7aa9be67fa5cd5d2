"""A tracker in a thread of its own, so that it can neither hold up a training nor end it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

from modelwright.core.errors import ModelwrightError
from modelwright.core.files import write_json
from modelwright.training.trackers.tracker import Tracker

CLOSE_SECONDS = 30.0
"""How long the end of a run waits for what a tracker has not stored yet."""

Note = Callable[[str], None]
Open = Callable[[str | None], Tracker]
"""Opens a tracker; gets the id of the run to go on in, if there is one."""


@dataclass(frozen=True)
class _Bookmark:
    """Which run a tracker writes into, and how far it got."""

    run_id: str
    step: int


class BackgroundTracker:
    """Hands rows to a tracker in order; the first error is noted, and the tracker dropped.

    Parameters
    ----------
    name : str
        For messages and for the file in ``scratch``.
    open : callable
        Opens the tracker.
    scratch : Path
        Where the run's id and its last step are kept. After an interruption, rows up to that
        step are not written again: a run that goes on repeats them.
    note : callable
        Told when the tracker fails.

    Raises
    ------
    MissingExtraError
        If its package is not installed.
    ModelwrightError
        If it cannot be opened.
    """

    def __init__(self, name: str, open: Open, scratch: Path, note: Note):
        self.name, self.note = name, note
        self._path = scratch / f"tracker-{name}.json"
        past = _read_bookmark(self._path)
        self._last_step = past.step if past else -1
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._calls = deque[Future[None]]()
        self._is_dropped = False  # of the caller's thread
        self._is_broken = False  # of the tracker's thread
        opening = self._thread.submit(open, past.run_id if past else None)
        error = opening.exception()
        if error is not None:
            self._thread.shutdown()
            raise _opening_error(name, error) from error
        self._tracker = opening.result()
        self._is_continued = bool(self._tracker.run_id)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Store a row, soon; does not wait."""
        self._look_back()
        if self._is_dropped or (self._is_continued and step <= self._last_step):
            return
        self._calls.append(self._thread.submit(self._write, step, dict(values)))

    def close(self, is_complete: bool) -> None:
        """Store what is waiting, and end the thread."""
        closing = self._thread.submit(self._close, is_complete)
        self._calls.append(closing)
        wait([closing], CLOSE_SECONDS)
        self._look_back()
        if self._calls:
            rows = len(self._calls) - 1
            self.note(f"  {self.name} does not answer: {rows} rows may be missing there")
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _write(self, step: int, values: dict[str, float]) -> None:
        if self._is_broken:
            return
        self._is_broken = True  # and stays so if this raises
        self._tracker.write(step, values)
        if self._is_continued:
            write_json(self._path, asdict(_Bookmark(self._tracker.run_id, step)))
        self._is_broken = False

    def _close(self, is_complete: bool) -> None:
        if not self._is_broken:
            self._tracker.close(is_complete)

    def _look_back(self) -> None:
        """Note the first error of the calls that have ended."""
        while self._calls and self._calls[0].done():
            error = self._calls.popleft().exception()
            if error is not None and not self._is_dropped:
                self._is_dropped = True
                self.note(
                    f"  {self.name} failed and gets no more rows, training goes on "
                    f"({type(error).__name__}: {error})"
                )


def _read_bookmark(path: Path) -> _Bookmark | None:
    if not path.is_file():
        return None
    return _Bookmark(**json.loads(path.read_text(encoding="utf-8")))


def _opening_error(name: str, error: BaseException) -> BaseException:
    if isinstance(error, ModelwrightError):
        return error
    return ModelwrightError(
        f"{name} cannot be opened ({type(error).__name__}: {error})",
        fix=f"check its settings in the environment, or run without {name}",
    )
