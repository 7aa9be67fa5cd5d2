"""Processes that train, timed in turns, or from a cold start to the first optimizer step."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType

import psutil
from speed_task import Task

FOLDER = Path(__file__).resolve().parent
TAIL = 3000
"""Characters of a failed worker's messages that are shown."""
LONGEST_START = 300.0
LOOK_SECONDS = 0.005
"""Between two looks whether the first step is done."""


class WorkerFailedError(Exception):
    """A worker ended, or took too long."""


@dataclass(frozen=True)
class System:
    """Something that trains: its module in ``speed_systems/`` and the Python that runs it."""

    name: str
    python: Path
    module: str


@dataclass(frozen=True)
class Block:
    """What was measured of a block of units, the process's children included."""

    units: int
    tokens: int
    cpu_seconds: float
    seconds: float


@dataclass
class Timing:
    """All blocks of a system; speeds are medians over them."""

    blocks: list[Block] = field(default_factory=list)

    @property
    def tokens_per_cpu_second(self) -> float:
        return median(one.tokens / one.cpu_seconds for one in self.blocks)

    @property
    def tokens_per_second(self) -> float:
        return median(one.tokens / one.seconds for one in self.blocks)

    @property
    def cpu_seconds_per_unit(self) -> float:
        return median(one.cpu_seconds / one.units for one in self.blocks)

    @property
    def spread(self) -> float:
        """Largest less smallest, as a share of the median."""
        speeds = [one.tokens / one.cpu_seconds for one in self.blocks]
        return (max(speeds) - min(speeds)) / median(speeds)


@dataclass(frozen=True)
class ColdStart:
    """From the start of the process until the first optimizer step was done."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def time_in_turns(
    systems: Mapping[System, Task], repeats: int, threads: int, logs: Path
) -> dict[str, Timing]:
    """Start every system, then measure a block of the first, of the second, ..., and again.

    Raises
    ------
    WorkerFailedError
        If a system ends early.
    """
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(system, task, threads, logs / f"{system.name}.log"))
            for system, task in systems.items()
        ]
        for _ in range(repeats):
            for worker in workers:
                worker.block()
        return {worker.name: worker.timing for worker in workers}


class Worker:
    """A system's process, stopped between blocks."""

    def __init__(self, system: System, task: Task, threads: int, log: Path):
        self.name, self.task, self.log, self.timing = system.name, task, log, Timing()
        with log.open("w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                [system.python, "-m", f"speed_systems.{system.module}", task.to_json()],
                cwd=FOLDER,
                env=environment(threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._hear()  # warm

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.communicate("stop\n" if self.process.poll() is None else None)

    def block(self) -> None:
        """Measure one more block."""
        cpu, began = cpu_seconds(self.process.pid), time.perf_counter()
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        tokens = self._hear()["tokens"]
        seconds = time.perf_counter() - began
        used = cpu_seconds(self.process.pid) - cpu
        self.timing.blocks.append(Block(self.task.units, tokens, used, seconds))

    def _hear(self) -> dict[str, int]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise failed(self.name, self.process.wait(), self.log)
        message: dict[str, int] = json.loads(line)
        return message


def cold_start(command: Sequence[str | Path], folder: Path, mark: str, threads: int) -> ColdStart:
    """Run a command until a file of a name appears below a folder, then end it.

    Parameters
    ----------
    command : sequence
        What to run.
    folder : Path
        Where it writes; empty.
    mark : str
        Name of the file that it writes when the first optimizer step is done.
    threads : int
        Of torch.

    Raises
    ------
    WorkerFailedError
        If it ends without that file, or takes too long.
    """
    log = folder.with_name(f"{folder.name}.log")
    with log.open("w", encoding="utf-8") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=FOLDER, env=environment(threads), stdout=output, stderr=output
        )
        try:
            seen = ColdStart(0.0, 0.0, 0)
            while not any(folder.parent.glob(f"{folder.name}*/**/{mark}")):
                if process.poll() is not None:
                    break
                seen = _so_far(process.pid, began)
                if seen.seconds > LONGEST_START:
                    raise WorkerFailedError(f"no step within {LONGEST_START:g} s")
                time.sleep(LOOK_SECONDS)
            else:
                if process.poll() is None:
                    seen = _so_far(process.pid, began)
                return seen
        finally:
            process.terminate()
            process.wait()
    raise failed(str(command[0]), process.returncode, log)


def _so_far(process: int, began: float) -> ColdStart:
    peak = sum(peak_bytes(one.pid) for one in _family(process))
    return ColdStart(time.perf_counter() - began, cpu_seconds(process), peak)


def cpu_seconds(process: int) -> float:
    """CPU time of a process and of its children, those that have ended included."""
    total = 0.0
    for one in _family(process):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def peak_bytes(process: int) -> int:
    """Most memory that a process had at once (Linux)."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _family(process: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(process)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def environment(threads: int) -> dict[str, str]:
    """The same for all: threads, how long they spin while they wait, no GPU, our package."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "GOMP_SPINCOUNT": "2000",
        "CUDA_VISIBLE_DEVICES": "",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "PYTHONPATH": os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")]),
    }


def failed(name: str, code: int, log: Path) -> WorkerFailedError:
    last = log.read_text(encoding="utf-8", errors="replace")[-TAIL:]
    return WorkerFailedError(f"{name} ended with code {code}:\n{last}")
