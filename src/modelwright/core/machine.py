"""What this machine is: cores, memory, accelerator, numeric formats."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """The parts of a machine that matter to a result: written into every manifest."""

    system: str
    processor: str
    cores: int
    memory_gib: float
    python: str

    def as_dict(self) -> dict[str, object]:
        """The fields as plain values."""
        return asdict(self)


def this_machine() -> Machine:
    """Describe the machine that we run on."""
    import psutil

    return Machine(
        system=platform.system(),
        processor=platform.machine(),
        cores=available_cores(),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        python=platform.python_version(),
    )


def available_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_in_use_bytes() -> int:
    """Resident memory of this process."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def available_memory_bytes(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that this process can still get: what the machine has free, or its cgroups allow.

    ``groups`` is where control groups (version 2) are mounted.
    """
    import psutil

    return min([int(psutil.virtual_memory().available), *_left_in_groups(groups)])


def _left_in_groups(groups: Path) -> list[int]:
    """What each control group that has a limit, from ours up to the root, leaves us."""
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8").rpartition("::")[2].strip()
    except OSError:  # not Linux
        return []
    parts = [part for part in own.split("/") if part not in ("", "..")]
    folders = [groups.joinpath(*parts[:count]) for count in range(len(parts) + 1)]
    return [left for left in map(_left_in_group, folders) if left is not None]


def _left_in_group(folder: Path) -> int | None:
    try:
        limit = (folder / "memory.max").read_text(encoding="utf-8").strip()
        used = int((folder / "memory.current").read_text(encoding="utf-8"))
        stat = (folder / "memory.stat").read_text(encoding="utf-8")
    except OSError:  # no such group here, or of version 1
        return None
    if limit == "max":
        return None
    figures = dict(line.split() for line in stat.splitlines())
    # The cache of files counts, but is given up before anything is refused.
    cached = int(figures.get("inactive_file", 0)) + int(figures.get("active_file", 0))
    return max(0, int(limit) - used + cached)


class PeakMemory:
    """The most resident memory of this process since this was made.

    Linux keeps the highest figure of the process's life and lets us set it back. Where that cannot
    be done, :meth:`read` knows the peak only if it is a new one.
    """

    def __init__(self) -> None:
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._before = 0
        except OSError:
            self._before = _highest_resident_bytes()

    def read(self) -> int | None:
        """Bytes, or None if they cannot be told from those of an earlier time."""
        highest = _highest_resident_bytes()
        return highest if highest > self._before else None


def _highest_resident_bytes() -> int:
    """Of the process's life, or since it was set back."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024
