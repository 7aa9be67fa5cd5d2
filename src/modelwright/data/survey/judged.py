"""The scores of an annotated corpus together with what the prepare stage made of each document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from modelwright.core.errors import InputError
from modelwright.data.corpus import DROPPED
from modelwright.data.parquet import Columns, RowGroup, read_frames, row_groups

ROWS = 8192
_COLUMNS: Columns = {"id": "text", "reason": "text"}


@dataclass(frozen=True)
class Judged:
    """An annotated corpus and the list of what was dropped of it.

    Attributes
    ----------
    groups : sequence of RowGroup
        The annotated corpus.
    prepared : Path
        Folder that the prepare stage made of it.
    """

    groups: Sequence[RowGroup]
    prepared: Path

    def frames(self, columns: Columns) -> Iterator[pl.DataFrame]:
        """Yield the documents in order, with ``row`` and ``reason`` (null for what stays).

        Both files have one order, so that they are read side by side and neither is held.

        Raises
        ------
        InputError
            If what was dropped is not of this corpus.
        """
        wanted: Columns = {"id": "text", **columns}
        left = _Dropped(self.prepared / DROPPED)
        row = 0
        for group in self.groups:
            for frame in read_frames(group, wanted, ROWS):
                rows = pl.int_range(row, row + frame.height, eager=True).alias("row")
                yield left.mark(frame.with_columns(rows))
                row += frame.height
        left.check_empty()


class _Dropped:
    """Reads the list of dropped documents as far as it is needed."""

    def __init__(self, path: Path):
        if not path.is_file():
            raise InputError(
                "no list of what was dropped: not the result of 'prepare'",
                where=path,
                fix="give the folder that 'modelwright prepare' made",
            )
        self._path = path
        self._frames = (
            frame for group in row_groups(path) for frame in read_frames(group, _COLUMNS, ROWS)
        )
        self._waiting = pl.DataFrame(schema={"id": pl.String, "reason": pl.String})

    def mark(self, frame: pl.DataFrame) -> pl.DataFrame:
        while self._waiting.height < frame.height:
            more = next(self._frames, None)
            if more is None:
                break
            self._waiting = pl.concat([self._waiting, more.select("id", "reason")])
        marked = frame.join(self._waiting, on="id", how="left", maintain_order="left")
        found = frame.height - marked["reason"].null_count()
        first = self._waiting.head(found)["id"]
        if not first.equals(marked.filter(pl.col("reason").is_not_null())["id"]):
            raise not_of_this(self._path)
        self._waiting = self._waiting.slice(found)
        return marked

    def check_empty(self) -> None:
        if self._waiting.height or next(self._frames, None) is not None:
            raise not_of_this(self._path)


def not_of_this(path: Path) -> InputError:
    """The error for a prepared corpus that was made of another annotated one."""
    return InputError(
        "this was not prepared from the annotated corpus that is given with it",
        where=path,
        fix="give the two folders of one run",
    )
