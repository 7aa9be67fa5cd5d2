"""A process that extracts one document after another, within limits; ``data/sandbox.py`` starts it.

It reads tasks from its standard input and writes results to its standard output until the input
ends, as it does when the parent dies. What breaks it ends it: the parent starts another.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from modelwright.data.decoding import replace_surrogates
from modelwright.data.extract.extracted import Extracted, ExtractionError
from modelwright.data.extract.formats import Options
from modelwright.data.extract.frames import OUT_OF_MEMORY, read_frame, write_frame

try:
    import resource
except ImportError:  # no limits on Windows, but still a process that can be killed
    resource = None  # type: ignore[assignment]

OPEN_FILES = 32
PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h


def main() -> None:
    """Serve tasks until the input ends; how much memory it may take is in the arguments."""
    memory_bytes = int(sys.argv[1])
    tasks, answers = sys.stdin.buffer, _own_output()
    _confine(memory_bytes)
    logging.disable()  # nobody reads what libraries say of a broken document
    while (frame := read_frame(tasks)) is not None:
        header, raw = frame
        function = _load(header["function"])
        _limit_time(header["cpu_seconds"], header["alarm_seconds"])
        try:
            answer, text = _run(function, raw, Options(**header["options"]))
        except MemoryError:
            os._exit(OUT_OF_MEMORY)  # no tidying up, which may need memory
        _stop_clock()
        # A heap in pieces must not decide what the next document gets.
        last = _address_space() > memory_bytes / 2
        write_frame(answers, {**answer, "last": last}, text)
        if last:
            return


def _run(
    function: Callable[[bytes, Options], Extracted], raw: bytes, options: Options
) -> tuple[dict[str, Any], bytes]:
    try:
        result = function(raw, options)
    except ExtractionError as error:
        return {"reason": str(error)}, b""
    text, in_text = replace_surrogates(result.text)
    title, in_title = replace_surrogates(result.title)
    header = {
        "title": title,
        "replaced": result.replaced + in_text + in_title,
        "licence": result.licence,
        "licence_from": result.licence_from,
    }
    return header, text.encode()


def _load(name: str) -> Callable[[bytes, Options], Extracted]:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]


def _own_output() -> BinaryIO:
    """Take standard output for answers; what libraries print goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return answers


def _confine(memory_bytes: int) -> None:
    if sys.platform == "linux":
        # If the machine runs out of memory, this process is the one to end.
        Path("/proc/self/oom_score_adj").write_text("1000")
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _limit("RLIMIT_AS", memory_bytes)
    _limit("RLIMIT_FSIZE", 0)
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_NOFILE", OPEN_FILES)


def _limit_time(cpu_seconds: float, alarm_seconds: float) -> None:
    """Let the kernel end this process if the task takes too long.

    The alarm is for a task that hangs when the parent, which watches the clock, is gone.
    """
    _limit("RLIMIT_CPU", math.ceil(time.process_time() + cpu_seconds))
    if hasattr(signal, "alarm"):
        signal.alarm(math.ceil(alarm_seconds) + 1)


def _stop_clock() -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(0)


def _limit(name: str, value: int) -> None:
    """Set a soft limit, as far as the system knows it."""
    if resource is None or not hasattr(resource, name):
        return
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(kind, (value, hard))
    except (ValueError, OSError):  # macOS refuses RLIMIT_AS
        return


def _address_space() -> int:
    """Bytes that count against RLIMIT_AS; 0 where it is not known, which is where none is enforced.

    Not the peak that getrusage knows: on Linux that begins with the parent's.
    """
    if sys.platform != "linux":
        return 0
    pages = Path("/proc/self/statm").read_bytes().split()[0]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
