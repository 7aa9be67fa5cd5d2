"""Timing several systems in turns: a block of the first, of the second, ..., and again."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

from quiet import NoiseMeter
from task import Task

FOLDER = Path(__file__).resolve().parent
TRIES = 6
"""Times that a block is measured at most until the machine was quiet."""

TAIL = 2000
"""Characters of a failed worker's messages that are shown."""


class WorkerFailedError(Exception):
    """A worker ended before it was asked to."""


@dataclass(frozen=True)
class System:
    """Something that trains: the Python that runs it and its module in ``systems/``."""

    name: str
    python: Path
    module: str
    environment: tuple[tuple[str, str], ...] = ()


@dataclass
class Timing:
    """What was measured of one system.

    Attributes
    ----------
    parameters : int
        Size of the model.
    cold_seconds : float
        From the start of the process to the end of the warm-up steps.
    blocks : list of float
        Seconds a step of every block that counts.
    thrown_away : int
        Blocks that do not, because the machine was busy.
    peak_bytes : int
        Most device memory that tensors took.
    """

    parameters: int = 0
    cold_seconds: float = 0.0
    blocks: list[float] = field(default_factory=list)
    thrown_away: int = 0
    peak_bytes: int = 0

    @property
    def seconds_per_step(self) -> float:
        """Median over blocks."""
        return median(self.blocks)

    @property
    def spread(self) -> float:
        """Largest less smallest block, as a share of the median."""
        return (max(self.blocks) - min(self.blocks)) / self.seconds_per_step


def time_in_turns(
    systems: Mapping[System, Task],
    repeats: int,
    threads: int,
    log_folder: Path,
    keep_busy: bool = False,
) -> dict[str, Timing]:
    """Start every system, then measure blocks in turns.

    Parameters
    ----------
    systems : mapping of System to Task
        What to run.
    repeats : int
        Blocks a system.
    threads : int
        Of each; only one works at a time.
    log_folder : Path
        For what the systems print.
    keep_busy : bool
        Count blocks during which other programs were at work too.

    Raises
    ------
    WorkerFailedError
        If a system ends early.
    """
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(system, task, log_folder / f"{system.name}.log", threads))
            for system, task in systems.items()
        ]
        for _ in range(repeats):
            for worker in workers:
                worker.block(keep_busy)
        return {worker.name: worker.timing for worker in workers}


class Worker:
    """A system's process, stopped between blocks."""

    def __init__(self, system: System, task: Task, log: Path, threads: int):
        self.name, self.task, self.log = system.name, task, log
        self.began = time.monotonic()
        with log.open("w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                [system.python, "-m", f"systems.{system.module}", task.to_json()],
                cwd=FOLDER,
                env={**os.environ, "OMP_NUM_THREADS": str(threads), **dict(system.environment)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.timing = Timing(parameters=int(self._hear()["parameters"]))
        self.timing.cold_seconds = time.monotonic() - self.began

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.communicate("stop\n" if self.process.poll() is None else None)

    def block(self, keep_busy: bool) -> None:
        """Measure one more block, again while the machine is busy."""
        for _ in range(TRIES):
            meter = NoiseMeter(self.process.pid)
            self._say("go")
            heard = self._hear()
            if keep_busy or meter.read().is_quiet:
                self.timing.blocks.append(float(heard["seconds"]) / self.task.steps)
                self.timing.peak_bytes = int(heard["peak_bytes"])
                return
            self.timing.thrown_away += 1
            time.sleep(1.0)

    def _say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            last = self.log.read_text(encoding="utf-8", errors="replace")[-TAIL:]
            raise WorkerFailedError(f"{self.name} ended with code {code}:\n{last}")
        message: dict[str, Any] = json.loads(line)
        return message
