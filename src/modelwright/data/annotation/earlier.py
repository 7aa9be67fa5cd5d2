"""What an earlier annotated corpus already knows, so that only new documents cost work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelwright.data.annotation.identity import CONTENT, document_keys, versions
from modelwright.data.annotation.parts import buckets_of
from modelwright.data.corpus import DOCUMENT_COLUMNS
from modelwright.data.frames import corpus_groups
from modelwright.data.parquet import Columns, read_frames

_IDENTITY: Columns = {"id": "text", CONTENT: "text"}


@dataclass(frozen=True)
class Earlier:
    """An earlier result of the annotate stage with equal settings.

    Attributes
    ----------
    folder : Path
        Its artifact.
    keys : numpy.ndarray
        uint64, the keys of its documents in ascending order.
    versions : numpy.ndarray
        uint64, for each key the number of document and content together.
    """

    folder: Path
    keys: NDArray[np.uint64]
    versions: NDArray[np.uint64]


def read_earlier(folder: Path) -> Earlier:
    """Read which documents an annotated corpus holds.

    Raises
    ------
    InputError
        If a file of it is damaged.
    """
    keys, numbers = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for group in corpus_groups(folder):
        for frame in read_frames(group, _IDENTITY):
            keys.append(document_keys(frame["id"]))
            numbers.append(versions(keys[-1], frame[CONTENT]))
    return Earlier(folder, np.concatenate(keys), np.concatenate(numbers))


def read_earlier_buckets(folder: Path, columns: Columns, bits: int) -> Iterator[pl.DataFrame]:
    """Yield, bucket by bucket, the text and the scores of the documents of an annotated corpus.

    Its documents are in the order of their keys, so that one pass over its files will do.
    """
    wanted: Columns = {
        "id": "text",
        "text": "text",
        **{name: kind for name, kind in columns.items() if name not in DOCUMENT_COLUMNS},
    }
    waiting, bucket = list[pl.DataFrame](), 0
    for group in corpus_groups(folder):
        for frame in read_frames(group, wanted):
            numbers = buckets_of(document_keys(frame["id"]), bits)
            while int(numbers[-1]) > bucket:
                ahead = int(np.searchsorted(numbers, bucket, side="right"))
                yield pl.concat([*waiting, frame.head(ahead)])
                waiting, bucket = [], bucket + 1
                frame, numbers = frame.slice(ahead), numbers[ahead:]
            waiting.append(frame)
    empty = frame.clear()
    for rest in range(bucket, 2**bits):
        yield pl.concat([empty, *waiting]) if rest == bucket else empty
