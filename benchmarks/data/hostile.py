"""Hostile documents and archives: how many are contained, the memory, the longest time.

python benchmarks/data/hostile.py [NAME]

Takes the cases of ``tests/data/hostile`` and extractors that misbehave; with NAME only those whose
name holds it. Contained means, for a document: a text without what it must not hold, or a reason,
and the sandbox goes on; for an archive: the members that can be read come out, and no others. Exit
code 1 if one is not.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

TESTS = Path(__file__).resolve().parents[2] / "tests" / "data"
sys.path[:0] = [str(TESTS), str(TESTS / "hostile")]

import archives  # noqa: E402
import misbehaving  # noqa: E402
import pages  # noqa: E402

from modelwright.data.extract.extracted import Extracted  # noqa: E402
from modelwright.data.extract.formats import KINDS  # noqa: E402
from modelwright.data.sandbox import Failure, Limits, Sandbox, Task  # noqa: E402

LIMITS = Limits()
DOCUMENTS = (
    *pages.CASES,
    *(
        pages.HostileCase(f"an extractor that does {kind}", kind, lambda: b"")
        for kind in ("hang", "spin", "eat", "abort", "fail", "leave", "chatter")
    ),
)
PROBE = Task("page", b"<html><body><p>The sandbox still works.</p></body></html>")

Try = Callable[[], tuple[bool, str]]
"""Says whether a case was contained, and what became of it."""


def main() -> int:
    """Try every case and print; returns the exit code."""
    chosen = sys.argv[1] if sys.argv[1:] else ""
    total, contained, slowest = 0, 0, (0.0, "")
    with Sandbox(1, LIMITS, {**KINDS, **misbehaving.KINDS}) as sandbox, PeakMemory() as peak:
        for name, attempt in tries(sandbox):
            if chosen not in name:
                continue
            before = time.perf_counter()
            is_contained, outcome = attempt()
            seconds = time.perf_counter() - before
            total, contained = total + 1, contained + is_contained
            slowest = max(slowest, (seconds, name))
            mark = "ok " if is_contained else "BAD"
            print(f"{mark} {seconds:6.2f} s  {name:44} {outcome}", flush=True)
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"\n{contained} of {total} contained")
    print(f"peak memory of a worker: {peak.bytes / 1e6:,.0f} MB resident")
    print(f"of {LIMITS.memory_bytes / 1e6:,.0f} MB of address space allowed")
    print(f"peak memory of the collector: {ours / 1e6:,.0f} MB resident")
    print(f"longest: {slowest[0]:.1f} s, {slowest[1]}")
    return int(contained < total)


def tries(sandbox: Sandbox) -> Iterator[tuple[str, Try]]:
    """Every case with its name."""
    for document in DOCUMENTS:
        yield document.name, partial(try_document, document, sandbox)
    for archive in archives.CASES:
        yield archive.name, partial(try_archive, archive)


def try_document(case: pages.HostileCase, sandbox: Sandbox) -> tuple[bool, str]:
    """Whether nothing came out that must not, and the next document is read."""
    result = sandbox.extract(Task(case.kind, case.make(), case.options))
    goes_on = isinstance(sandbox.extract(PROBE), Extracted)
    if isinstance(result, Failure):
        return goes_on, result.reason
    return goes_on and case.never not in result.text + result.title, f"{len(result.text):,} chars"


def try_archive(case: archives.HostileArchive) -> tuple[bool, str]:
    """Whether what can be read came out, and nothing else."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / case.name
        case.write(path)
        result = archives.read(path, Path(name) / "kept")
        strays = [entry for entry in Path(name).iterdir() if entry != path]
    is_contained = result.contains(case) and not strays
    return is_contained, f"{len(result.members)} members; {', '.join(result.drops)}"


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
