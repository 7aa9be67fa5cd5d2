"""Sorted records on disk, and merging them in bounded memory.

A record is two unsigned 64-bit integers, the hash of a band and the key of a document. Records
are ordered by hash, then by key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from modelwright.core.errors import InputError

Keys = NDArray[np.uint64]
Records = NDArray[np.uint64]
"""Of shape (n, 2): hashes and keys."""

RECORD_BYTES = 16
MERGE_BYTES_A_RECORD = 128  # blocks as read, as joined, their order, and as sorted
FEWEST_AT_ONCE = 64


@dataclass(frozen=True)
class Run:
    """Sorted records in a part of a file, little-endian.

    Parameters
    ----------
    path : Path
        The file.
    first : int
        Where its records begin, in records.
    count : int
        How many they are.
    without : ndarray of uint64
        Keys in ascending order whose records are passed over.
    """

    path: Path
    first: int
    count: int
    without: Keys = field(default_factory=lambda: np.empty(0, dtype=np.uint64))

    def read(self, start: int, count: int) -> Records:
        """Read up to ``count`` records from the ``start``-th on, also those to be passed over."""
        wanted = min(count, self.count - start)
        offset = (self.first + start) * RECORD_BYTES
        values = np.fromfile(self.path, dtype="<u8", count=2 * wanted, offset=offset)
        if len(values) != 2 * wanted:
            raise InputError(
                "this file is shorter than it was",
                where=self.path,
                fix="let no other program write there, and run again",
            )
        return values.astype(np.uint64, copy=False).reshape(wanted, 2)


def sort_records(records: Records, kind: Literal["quicksort", "stable"] = "quicksort") -> Records:
    """Sort by hash, then by key; a new array.

    ``stable`` is the faster kind for a few sorted pieces one after the other; the result is the
    same.
    """
    result = records[np.argsort(records[:, 0], kind=kind)]
    hashes = result[:, 0]
    equal = hashes[1:] == hashes[:-1]
    if equal.any():  # few records: sorting only these by key is faster than all by both
        tied = np.zeros(len(result), dtype=np.bool_)
        tied[1:] |= equal
        tied[:-1] |= equal
        ties = result[tied]
        result[tied] = ties[np.lexsort((ties[:, 1], ties[:, 0]))]
    return result


def merge(runs: Sequence[Run], memory_bytes: int) -> Iterator[Records]:
    """Yield the records of all runs in order, reading each run once from begin to end.

    Parameters
    ----------
    runs : sequence of Run
        May be empty.
    memory_bytes : int
        About how much memory the blocks may take together.

    Yields
    ------
    Records
        In order, over the blocks too; a block may be empty.
    """
    at_once = memory_bytes // MERGE_BYTES_A_RECORD
    done = [0] * len(runs)
    while left := sum(run.count for run in runs) - sum(done):
        # Hashes are spread evenly, so equal parts of what is left cover the same span of them.
        blocks = [
            run.read(start, max(FEWEST_AT_ONCE, at_once * (run.count - start) // left))
            for run, start in zip(runs, done, strict=True)
        ]
        last = min(
            (
                (int(block[-1, 0]), int(block[-1, 1]))
                for run, start, block in zip(runs, done, blocks, strict=True)
                if start + len(block) < run.count
            ),
            default=None,
        )
        taken = [block if last is None else block[: _count_up_to(block, *last)] for block in blocks]
        done = [start + len(block) for start, block in zip(done, taken, strict=True)]
        kept = [_leave_out(block, run.without) for run, block in zip(runs, taken, strict=True)]
        filled = [block for block in kept if len(block)]
        if len(filled) > 1:
            yield sort_records(np.concatenate(filled), "stable")
        else:
            yield (filled or kept)[0]


def _count_up_to(block: Records, hash_: int, key: int) -> int:
    """Count the records that are not after ``(hash_, key)``."""
    begin = np.searchsorted(block[:, 0], np.uint64(hash_), side="left")
    end = np.searchsorted(block[:, 0], np.uint64(hash_), side="right")
    return int(begin + np.searchsorted(block[begin:end, 1], np.uint64(key), side="right"))


def _leave_out(block: Records, keys: Keys) -> Records:
    if not len(keys):
        return block
    nearest = np.minimum(np.searchsorted(keys, block[:, 1]), len(keys) - 1)
    kept: Records = block[keys[nearest] != block[:, 1]]
    return kept
