"""What a process may take of the machine: called in the process itself, before untrusted work."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

try:
    import resource
except ImportError:  # no limits on Windows, but still a process that can be killed
    resource = None  # type: ignore[assignment]

PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h


def confine(memory_bytes: int, open_files: int, *, for_good: bool = False) -> None:
    """Limit address space and open files; no file can be written, no privilege gained.

    ``for_good`` says that the process cannot raise the limits again.
    """
    if sys.platform == "linux":
        # If the machine runs out of memory, this process is the one to end.
        Path("/proc/self/oom_score_adj").write_text("1000")
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    set_limit("RLIMIT_AS", memory_bytes, for_good=for_good)
    set_limit("RLIMIT_FSIZE", 0, for_good=for_good)
    set_limit("RLIMIT_CORE", 0, for_good=for_good)
    set_limit("RLIMIT_NOFILE", open_files, for_good=for_good)


def set_limit(name: str, value: int, *, for_good: bool = False) -> None:
    """Set a limit, as far as the system knows it.

    Parameters
    ----------
    name : str
        As in :mod:`resource`.
    value : int
        Cut to what is allowed.
    for_good : bool
        Whether the process cannot raise it again.
    """
    if resource is None or not hasattr(resource, name):
        return
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(kind, (value, value if for_good else hard))
    except (ValueError, OSError):  # macOS refuses RLIMIT_AS
        return


def address_space() -> int:
    """Bytes that count against RLIMIT_AS; 0 where it is not known, which is where none is enforced.

    Not the peak that getrusage knows: on Linux that begins with the parent's.
    """
    if sys.platform != "linux":
        return 0
    pages = Path("/proc/self/statm").read_bytes().split()[0]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
