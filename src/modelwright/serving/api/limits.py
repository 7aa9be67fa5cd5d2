"""How long a request may take, and how much of an answer may wait to be read."""

from __future__ import annotations

from dataclasses import dataclass

MOST_UNREAD = 512
KEEP_ALIVE_SECONDS = 15.0


@dataclass(frozen=True)
class Limits:
    """Of every request.

    Attributes
    ----------
    deadline : float or None
        Seconds from when it is asked for to its end; None for no end.
    keep_alive : float
        Seconds of silence after which a stream says that it is still there, as proxies close
        silent ones.
    most_unread : int
        Updates of one choice that may wait for a slow reader; with more the answer is given up.
    """

    deadline: float | None = None
    keep_alive: float = KEEP_ALIVE_SECONDS
    most_unread: int = MOST_UNREAD


DEFAULT_LIMITS = Limits()
