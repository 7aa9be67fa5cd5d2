"""Parts of an annotated corpus, made independently of each other and so in parallel.

A part is a Parquet file with the documents of some row groups of the corpus and all their scores.
Its row groups are *buckets*: documents whose keys begin with the same bits, so that all parts
together can be put in order bucket by bucket in bounded memory (a radix sort outside the memory).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelwright.data.annotation.identity import (
    CONTENT,
    content_hashes,
    document_keys,
    versions,
)
from modelwright.data.annotation.scores import BAND_BYTES, Scorer
from modelwright.data.corpus import DOCUMENT_COLUMNS
from modelwright.data.frames import document_frames, with_columns
from modelwright.data.parquet import Columns, RowGroup, TableWriter, read_frames

KEY = "key"
"""Column with the document's key as bytes, the most significant first: in the order of keys."""

MOST_TASKS = 64
"""A corpus of more row groups than this has several in a part, up to 32."""


@dataclass(frozen=True)
class PartTask:
    """Some row groups of the corpus, and the part to make of them."""

    groups: tuple[RowGroup, ...]
    target: Path


@dataclass(frozen=True)
class PartMaker:
    """Makes parts; sent to worker processes.

    Attributes
    ----------
    scorer : Scorer
        Works out the scores.
    bits : int
        How many leading bits of a key choose its bucket.
    slice_bytes : int
        Text that is scored at once.
    flush_bytes : int
        Text that is gathered before it is written by buckets.
    known : Path or None
        ``.npy`` of the versions (sorted uint64) whose scores are copied from an earlier artifact:
        of these only the columns of the document are written.
    """

    scorer: Scorer
    bits: int
    slice_bytes: int
    flush_bytes: int
    known: Path | None = None

    @property
    def columns(self) -> Columns:
        """The columns of a part."""
        return {
            KEY: "bytes",
            **DOCUMENT_COLUMNS,
            CONTENT: "text",
            **self.scorer.columns,
            BAND_BYTES: "bytes",
        }

    def __call__(self, task: PartTask) -> int:
        """Make one part and return its number of documents; one that is there is left as it is."""
        if task.target.exists():
            return sum(group.rows for group in task.groups)
        known = np.load(self.known, mmap_mode="r") if self.known else np.empty(0, np.uint64)
        documents = 0
        with TableWriter(task.target, self.columns) as table:
            for frame in self._gathered(task.groups, known):
                documents += frame.height
                for bucket in self._buckets(frame):
                    table.write_frame(bucket)
        return documents

    def _gathered(
        self, groups: Sequence[RowGroup], known: NDArray[np.uint64]
    ) -> Iterator[pl.DataFrame]:
        waiting, size = list[pl.DataFrame](), 0
        for group in groups:
            for frame in document_frames(group):
                for piece in split_by_bytes(frame, self.slice_bytes):
                    size += int(piece["text"].str.len_bytes().sum())
                    waiting.append(self._scored(piece, known))
                    if size >= self.flush_bytes:
                        yield pl.concat(waiting)
                        waiting, size = [], 0
        if waiting:
            yield pl.concat(waiting)

    def _scored(self, frame: pl.DataFrame, known: NDArray[np.uint64]) -> pl.DataFrame:
        keys = document_keys(frame["id"])
        contents = content_hashes(frame["text"])
        frame = frame.with_columns(contents, pack_keys(keys))
        is_known = pl.Series(is_among(versions(keys, contents), known))
        new = frame.filter(~is_known)
        parts = [frame.filter(is_known).drop("text")] if is_known.any() else []
        if new.height:
            parts.append(self.scorer(new))
        return pl.concat([with_columns(part, self.columns) for part in parts])

    def _buckets(self, frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
        numbers = pl.Series(buckets_of(unpack_keys(frame[KEY]), self.bits))
        for bucket in range(2**self.bits):
            yield frame.filter(numbers == bucket)


def plan_parts(groups: Sequence[RowGroup], folder: Path) -> list[PartTask]:
    """Which row groups go into which part; decided by the corpus alone."""
    each = max(1, min(32, len(groups) // MOST_TASKS))
    return [
        PartTask(tuple(groups[start : start + each]), folder / f"{number:06d}.parquet")
        for number, start in enumerate(range(0, len(groups), each))
    ]


def read_bucket(
    parts: Sequence[Sequence[RowGroup]], columns: Columns, bucket: int, bits: int
) -> Iterator[pl.DataFrame]:
    """Yield what the parts, each given as its row groups, hold of one bucket."""
    for groups in parts:
        for group in groups[bucket :: 2**bits]:
            if group.rows:
                yield from read_frames(group, columns)


def split_by_bytes(frame: pl.DataFrame, most: int) -> Iterator[pl.DataFrame]:
    """Cut a frame into pieces of at most so many bytes of text, or of one row."""
    sizes = frame["text"].str.len_bytes().cum_sum()
    start, before = 0, 0
    while start < frame.height:
        end = max(start + 1, int(sizes.search_sorted(before + most, side="right")))
        yield frame.slice(start, end - start)
        start, before = end, int(sizes[end - 1])


def is_among(values: NDArray[np.uint64], ordered: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """For each value whether it is in a sorted array."""
    if not len(ordered):
        return np.zeros(len(values), np.bool_)
    places = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    found: NDArray[np.bool_] = ordered[places] == values
    return found


def pack_keys(keys: NDArray[np.uint64]) -> pl.Series:
    """Keys as a column of bytes, which sort as the numbers do."""
    whole = keys.astype(">u8").tobytes()
    packed = [whole[start : start + 8] for start in range(0, len(whole), 8)]
    return pl.Series(KEY, packed, pl.Binary)


def unpack_keys(packed: pl.Series) -> NDArray[np.uint64]:
    """The keys in a column of bytes."""
    return np.frombuffer(b"".join(packed.to_list()), ">u8").astype(np.uint64)


def buckets_of(keys: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    """The bucket of each key: its leading bits."""
    # A shift by all 64 bits is not defined, and there is one bucket then.
    return keys >> np.uint64(64 - bits) if bits else np.zeros_like(keys)
