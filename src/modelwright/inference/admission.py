"""Who holds the places of an engine, and when the next one is likely to be free."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable

from modelwright.core.errors import ModelwrightError

WINDOW_SECONDS = 60.0
"""What counts as recent."""

MOST_ENDS = 4096
"""Of which times are kept."""

LONGEST_WAIT = 60
"""Seconds that anybody is told to wait."""


class QueueFullError(ModelwrightError):
    """Too much runs and waits already.

    Attributes
    ----------
    seconds : int
        After which it is worth to try again.
    """

    def __init__(self, what: str, seconds: int):
        super().__init__(what, fix=f"try again in {seconds} s")
        self.seconds = seconds


class ShareReachedError(QueueFullError):
    """One owner holds so much already that too little would be left to the others."""


class Admission:
    """Hands out places; not safe for several threads by itself.

    An owner that holds something may never hold more than it leaves free to the others, as
    switches share their buffers (Choudhury and Hahne, 1998, with alpha = 1): alone it gets about
    half of all, two that want everything get a third each, and a newcomer finds room.

    Parameters
    ----------
    places : int
        For all owners.
    clock : callable
        Seconds that never go back.
    """

    def __init__(self, places: int, clock: Callable[[], float] = time.monotonic):
        self.places = places
        self._clock = clock
        self._held = Counter[str | None]()
        self._busy_since: float | None = None
        self._ends: deque[float] = deque(maxlen=MOST_ENDS)

    @property
    def held(self) -> int:
        """Places that are taken."""
        return self._held.total()

    def enter(self, wanted: int, owner: str | None = None) -> None:
        """Take places, all or none.

        Parameters
        ----------
        wanted : int
            How many.
        owner : str, optional
            Whose share they count to; nobody's by default.

        Raises
        ------
        ShareReachedError
            If the owner would hold more than it leaves free.
        QueueFullError
            If they are not there.
        """
        free, own = self.places - self.held - wanted, self._held[owner]
        if owner is not None and own and own + wanted > free:
            seconds = self._seconds_until(math.ceil((own + wanted - free) / 2))
            raise ShareReachedError(
                f"'{owner}' holds {own} of {self.places} places, and {wanted} more would leave too "
                "few to others",
                seconds,
            )
        if free < 0:
            raise QueueFullError(
                f"the queue is full: {self.held} of {self.places} places are taken, and {wanted} "
                "wanted",
                self._seconds_until(-free),
            )
        if self._busy_since is None:
            self._busy_since = self._clock()
        self._held[owner] += wanted

    def leave(self, owner: str | None = None) -> None:
        """Give one place back."""
        self._ends.append(self._clock())
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        if not self.held:
            self._busy_since = None

    def _seconds_until(self, ends: int) -> int:
        """How long so many ends take, at the rate of the last minute, as far as it was busy."""
        now = self._clock()
        since = now - WINDOW_SECONDS
        if self._busy_since is not None:
            since = max(since, self._busy_since)
        recent = sum(end > since for end in self._ends)
        # Without an end yet, one is expected after as long a time again.
        wait = ends * (now - since) / max(recent, 1)
        return min(max(math.ceil(wait), 1), LONGEST_WAIT)
