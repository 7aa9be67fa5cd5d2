"""How an engine is doing, for those who watch it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EngineFigures:
    """How an engine is doing.

    Attributes
    ----------
    running, waiting : int
        Texts that are being generated, and that wait.
    cache_usage : float or None
        Full part of the cache; None if it is not known here.
    counts : mapping of str to int
        What it has counted since it began, by the name of the metric.
    """

    running: int
    waiting: int
    cache_usage: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
