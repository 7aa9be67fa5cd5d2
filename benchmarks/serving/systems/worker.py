"""What all timed systems have in common: a block of work for each line on standard input."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """A block: so many texts at once, each with a prompt and so many tokens after it.

    With ``answer`` 1 it is the prompt that is timed.
    """

    folder: str
    kind: str
    texts: int
    prompt: int
    answer: int
    threads: int


def read_work() -> Work:
    """From the command line, as JSON."""
    return Work(**json.loads(sys.argv[1]))


def run_blocks(block: Callable[[], int]) -> None:
    """Time ``block``, which returns how many tokens it made, once for each line that comes in."""
    block()
    print("ready", flush=True)
    for _ in sys.stdin:
        cpu, wall = time.process_time(), time.perf_counter()
        tokens = block()
        taken = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        print(json.dumps({"tokens": tokens, **taken}), flush=True)


def prompts(work: Work, number: int) -> list[list[int]]:
    """Token ids, others in every block so that no cache knows them."""
    return [
        [3 + (number * 977 + text * 131 + place * 7) % 900 for place in range(work.prompt)]
        for text in range(work.texts)
    ]
