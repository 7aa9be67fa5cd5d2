"""The C library's heap under a training on a CPU: kept between steps, and foreseen in size.

By default glibc gives freed memory back to the system and asks for it again in the next step, page
by page. Here it keeps it. What tensors take of it is more than their bytes: torch asks for an
alignment of 64, for which glibc looks for a hole that is 96 bytes larger than the tensor, and gives
away what it does not need of it. If something small and lasting settles there, the hole that the
tensor leaves does not fit the next one of its size. :func:`heap_bytes` plays that through.
"""

from __future__ import annotations

import ctypes
import platform
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

Event = tuple[int, int]
"""(number of a tensor, its bytes) when it is made, (minus its number, its bytes) when dropped."""

SLACK = 96
"""Bytes that a hole must have beyond an aligned tensor."""

LOST_EVERY = 12
"""Of so many holes one loses its slack: fitted by hand on six trainings of 4M and 12M parameters,
with and without recomputing, in float32 and bfloat16, with glibc 2.36."""

LEAST = 1024
"""Smaller tensors come from other holes."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = {_M_MMAP_THRESHOLD: 1 << 30, _M_TRIM_THRESHOLD: (1 << 31) - 1}
_USUAL = {_M_MMAP_THRESHOLD: 32 << 20, _M_TRIM_THRESHOLD: 64 << 20}
"""What glibc's own rule ends with once large blocks were freed."""


@contextmanager
def kept_heap() -> Iterator[None]:
    """Let the heap keep what is freed inside, and give it back after; glibc alone can do that."""
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    # Some glibc take no such threshold; setting one alone would end its own rule for the other.
    for option, value in _KEPT.items():
        if not library.mallopt(option, value):
            break
    try:
        yield
    finally:
        for option, value in _USUAL.items():
            library.mallopt(option, value)
        library.malloc_trim(0)


def heap_bytes(events: Iterable[Event]) -> int:
    """How far a heap grows by these tensors, made and dropped in this order.

    A tensor gets the smallest hole that is large enough, holes side by side are one, and one in
    ``LOST_EVERY`` comes back without its slack.
    """
    heap = _Heap()
    places = dict[int, tuple[int, int]]()
    dropped = 0
    for number, size in events:
        if size < LEAST:
            continue
        if number > 0:
            needed = (size + SLACK + 15) // 16 * 16
            places[number] = heap.take(needed), needed
        elif -number in places:
            start, taken = places.pop(-number)
            dropped += 1
            heap.give(start, taken if dropped % LOST_EVERY else taken - SLACK)
    return heap.most


class _Heap:
    """Addresses from 0 on, of which some are holes."""

    def __init__(self) -> None:
        self.end = self.most = 0
        self._by_size = list[tuple[int, int]]()  # (size, start), ascending
        self._sizes = dict[int, int]()  # of the hole that starts there
        self._starts = dict[int, int]()  # of the hole that ends there

    def take(self, size: int) -> int:
        """The start of so many bytes: of the smallest hole that has them, or at the end."""
        place = bisect_left(self._by_size, (size, 0))
        if place == len(self._by_size):
            start, self.end = self.end, self.end + size
            self.most = max(self.most, self.end)
            return start
        found, start = self._by_size[place]
        self._close(start, found)
        if found > size:
            self.give(start + size, found - size)
        return start

    def give(self, start: int, size: int) -> None:
        """Make a hole, or shorten the heap."""
        if start in self._starts:
            before = self._starts[start]
            self._close(before, start - before)
            start, size = before, start - before + size
        if start + size in self._sizes:
            after = self._sizes[start + size]
            self._close(start + size, after)
            size += after
        if start + size == self.end:
            self.end = start
            return
        insort(self._by_size, (size, start))
        self._sizes[start], self._starts[start + size] = size, start

    def _close(self, start: int, size: int) -> None:
        del self._by_size[bisect_left(self._by_size, (size, start))]
        del self._sizes[start], self._starts[start + size]
