"""What this machine is: cores, memory, accelerator, numeric formats."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass


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
