"""Hostile documents: how many are contained, the memory of a worker, the longest time.

python benchmarks/data/hostile.py [NAME]

Takes the cases of ``tests/data/hostile`` and extractors that misbehave; with NAME only those whose
name holds it. Contained means: a text without what it must not hold, or a reason, and the sandbox
goes on. Exit code 1 if one is not.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

TESTS = Path(__file__).resolve().parents[2] / "tests" / "data"
sys.path[:0] = [str(TESTS), str(TESTS / "hostile")]

import misbehaving  # noqa: E402
import pages  # noqa: E402

from modelwright.data.extract.extracted import Extracted  # noqa: E402
from modelwright.data.extract.formats import KINDS  # noqa: E402
from modelwright.data.sandbox import Failure, Limits, Sandbox, Task  # noqa: E402

LIMITS = Limits()
CASES = (
    *pages.CASES,
    *(
        pages.HostileCase(f"an extractor that does {kind}", kind, lambda: b"")
        for kind in ("hang", "spin", "eat", "abort", "fail", "leave", "chatter")
    ),
)
PROBE = Task("page", b"<html><body><p>The sandbox still works.</p></body></html>")


def main() -> int:
    """Run every case and print; returns the exit code."""
    chosen = [case for case in CASES if not sys.argv[1:] or sys.argv[1] in case.name]
    contained, slowest = 0, (0.0, "")
    with Sandbox(1, LIMITS, {**KINDS, **misbehaving.KINDS}) as sandbox, PeakMemory() as peak:
        for case in chosen:
            raw = case.make()
            before = time.perf_counter()
            result = sandbox.extract(Task(case.kind, raw, case.options))
            seconds = time.perf_counter() - before
            slowest = max(slowest, (seconds, case.name))
            good = is_contained(case, result) and isinstance(sandbox.extract(PROBE), Extracted)
            contained += good
            outcome = (
                result.reason if isinstance(result, Failure) else f"{len(result.text):,} chars"
            )
            print(
                f"{'ok ' if good else 'BAD'} {seconds:6.2f} s  {case.name:44} {outcome}", flush=True
            )
    print(f"\n{contained} of {len(chosen)} contained")
    print(f"peak memory of a worker: {peak.bytes / 1e6:,.0f} MB resident")
    print(f"of {LIMITS.memory_bytes / 1e6:,.0f} MB of address space allowed")
    print(f"longest: {slowest[0]:.1f} s, {slowest[1]}")
    return int(contained < len(chosen))


def is_contained(case: pages.HostileCase, result: Extracted | Failure) -> bool:
    """Whether nothing came out that must not."""
    return isinstance(result, Failure) or case.never not in result.text + result.title


class PeakMemory:
    """Largest resident memory of any child, looked at a hundred times a second."""

    def __init__(self) -> None:
        self.bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.01):
            for child in me.children():
                with suppress(psutil.Error):
                    self.bytes = max(self.bytes, child.memory_info().rss)


if __name__ == "__main__":
    sys.exit(main())
