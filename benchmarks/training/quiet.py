"""Whether other programs were at work while something was timed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import psutil

MOST_OTHERS = 0.06
MOST_STOLEN = 0.03


@dataclass(frozen=True)
class Noise:
    """Shares of the machine's CPU time that went elsewhere.

    Attributes
    ----------
    others : float
        To processes that were not measured.
    stolen : float
        To other guests of the host.
    """

    others: float
    stolen: float

    @property
    def is_quiet(self) -> bool:
        """Whether a timing counts."""
        return self.others < MOST_OTHERS and self.stolen < MOST_STOLEN


class NoiseMeter:
    """CPU time of everything but one process, its children and this one, from now on."""

    def __init__(self, process: int):
        self.process = psutil.Process(process)
        self.before = self._read()

    def read(self) -> Noise:
        """What it was since the meter was made."""
        wall, busy, stolen = (
            now - before for now, before in zip(self._read(), self.before, strict=True)
        )
        total = wall * (os.cpu_count() or 1)
        return Noise(busy / total, stolen / total)

    def _read(self) -> tuple[float, float, float]:
        """Wall clock, CPU time of the others, stolen time."""
        every = psutil.cpu_times()
        stolen = getattr(every, "steal", 0.0)  # Linux only
        busy = every.user + every.system + getattr(every, "nice", 0.0)
        own = 0.0
        for process in {psutil.Process(), self.process, *self.process.children(recursive=True)}:
            times = process.cpu_times()
            own += times.user + times.system + times.children_user + times.children_system
        return time.monotonic(), busy - own, stolen
