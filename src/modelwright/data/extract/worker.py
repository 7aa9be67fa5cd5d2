"""A process that extracts one document after another, within limits; ``data/sandbox.py`` starts it.

It reads tasks from its standard input and writes results to its standard output until the input
ends, as it does when the parent dies. What breaks it ends it: the parent starts another.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from modelwright.core.processes.frames import OUT_OF_MEMORY, read_frame, write_frame
from modelwright.core.processes.limits import address_space, confine, set_limit
from modelwright.core.processes.streams import take_streams
from modelwright.data.decoding import replace_surrogates
from modelwright.data.extract.extracted import Extracted, ExtractionError
from modelwright.data.extract.formats import Options

OPEN_FILES = 32


def main() -> None:
    """Serve tasks until the input ends; how much memory it may take is in the arguments."""
    memory_bytes = int(sys.argv[1])
    tasks, answers = take_streams()
    confine(memory_bytes, OPEN_FILES)
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
        last = address_space() > memory_bytes / 2
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


def _limit_time(cpu_seconds: float, alarm_seconds: float) -> None:
    """Let the kernel end this process if the task takes too long.

    The alarm is for a task that hangs when the parent, which watches the clock, is gone.
    """
    set_limit("RLIMIT_CPU", math.ceil(time.process_time() + cpu_seconds))
    if hasattr(signal, "alarm"):
        signal.alarm(math.ceil(alarm_seconds) + 1)


def _stop_clock() -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(0)


if __name__ == "__main__":
    main()
