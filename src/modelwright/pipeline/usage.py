"""How long a stage has worked, over all the processes that it took."""

from __future__ import annotations

import json
import time
from pathlib import Path

from modelwright.core.files import write_json

FILE = "used.json"
SAVE_SECONDS = 5.0
"""How much of its time a killed process may fail to tell."""


class Usage:
    """Wall and processor time of a stage; what earlier, cut-off processes used is added.

    Parameters
    ----------
    scratch : Path
        The stage's folder for resume, where the times are kept.
    """

    def __init__(self, scratch: Path):
        self._path = scratch / FILE
        self._earlier = _read(self._path)
        self._wall, self._cpu = time.monotonic(), time.process_time()
        self._saved = self._wall

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return self._earlier[0] + time.monotonic() - self._wall

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far, of all threads."""
        return self._earlier[1] + time.process_time() - self._cpu

    def save_now_and_then(self) -> None:
        """Keep the times if they were not kept lately."""
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Keep the times for the process that goes on."""
        self._saved = time.monotonic()
        write_json(self._path, {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds})


def _read(path: Path) -> tuple[float, float]:
    if not path.is_file():
        return 0.0, 0.0
    kept = json.loads(path.read_text(encoding="utf-8"))
    return float(kept["seconds"]), float(kept["cpu_seconds"])
