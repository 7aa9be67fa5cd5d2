"""A corpus as Polars frames: for stages that treat many documents at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import cast

import polars as pl

from modelwright.core.artifact import UNKNOWN_LICENCE
from modelwright.core.errors import InputError
from modelwright.data.corpus import (
    DOCUMENT_COLUMNS,
    FILE_BYTES,
    GROUP_BYTES,
    GROUP_ROWS,
    clear_corpus,
    corpus_file,
    new_document,
    parquet_files,
)
from modelwright.data.parquet import (
    Columns,
    RowGroup,
    TableWriter,
    columns_of_file,
    read_frames,
    row_groups,
)

POLARS_TYPES: dict[str, pl.DataType] = {
    "text": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "bytes": pl.Binary(),
}

_FILLED = tuple(name for name in DOCUMENT_COLUMNS if name != "split")


class FrameWriter:
    """Writes frames as a corpus; where they are cut does not show in the files.

    Use it in a ``with`` statement. A row group ends with the row that brings its text to
    ``group_bytes`` or its rows to 4,096, a file with the row group that brings it to
    ``file_bytes``.

    Parameters
    ----------
    folder : Path
        Where to write; documents of an earlier, cut-off writer are removed.
    columns : mapping of name to type
        All columns, those of a document first.
    file_bytes, group_bytes : int
        Text in a file and in a row group, in UTF-8 bytes.
    """

    def __init__(
        self,
        folder: Path,
        columns: Columns,
        file_bytes: int = FILE_BYTES,
        group_bytes: int = GROUP_BYTES,
    ):
        self._folder = folder
        self._columns = columns
        self._file_bytes = file_bytes
        self._group_bytes = group_bytes
        self._waiting: list[pl.DataFrame] = []
        self._waiting_bytes = 0
        self._waiting_rows = 0
        self._in_file = 0
        self._files = 0
        self._open = ExitStack()
        self._table: TableWriter | None = None
        self.documents = 0
        self.characters = 0
        self.bytes = 0

    def __enter__(self) -> FrameWriter:
        clear_corpus(self._folder)
        return self

    def write(self, frame: pl.DataFrame) -> None:
        """Add the rows of a frame; columns that it lacks are filled with nulls."""
        frame = with_columns(frame, self._columns)
        self.documents += frame.height
        self.characters += _total(frame["text"].str.len_chars())
        self.bytes += _total(frame["text"].str.len_bytes())
        while frame.height:
            sizes = frame["text"].str.len_bytes().cum_sum() + self._waiting_bytes
            full = sizes.search_sorted(self._group_bytes, side="left") + 1
            rows = min(full, GROUP_ROWS - self._waiting_rows, frame.height)
            self._waiting.append(frame.head(rows))
            self._waiting_rows += rows
            self._waiting_bytes = cast(int, sizes[rows - 1])
            if self._waiting_bytes >= self._group_bytes or self._waiting_rows >= GROUP_ROWS:
                self._write_group()
            frame = frame.slice(rows)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._open.__exit__(kind, error, trace)
            return
        try:
            if self._waiting or self._files == 0:
                self._write_group()
        except BaseException as late:  # as if in the body of the "with"
            self._open.__exit__(type(late), late, late.__traceback__)
            raise
        self._finish_file()

    def _write_group(self) -> None:
        if self._table is None:
            path = self._folder / corpus_file(self._files)
            self._table = self._open.enter_context(TableWriter(path, self._columns))
            self._files += 1
        schema = {name: POLARS_TYPES[kind] for name, kind in self._columns.items()}
        empty = pl.DataFrame(schema=schema)
        self._table.write_frame(pl.concat([empty, *self._waiting]))
        self._in_file += self._waiting_bytes
        self._waiting, self._waiting_bytes, self._waiting_rows = [], 0, 0
        if self._in_file >= self._file_bytes:
            self._finish_file()

    def _finish_file(self) -> None:
        self._open.close()
        self._open = ExitStack()
        self._table = None
        self._in_file = 0


def with_columns(frame: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """The frame with exactly these columns and types, null where it has none."""
    return frame.select(
        pl.col(name).cast(POLARS_TYPES[kind])
        if name in frame.columns
        else pl.lit(None, POLARS_TYPES[kind]).alias(name)
        for name, kind in columns.items()
    )


def corpus_groups(folder: Path) -> list[RowGroup]:
    """The row groups of all files of a corpus, in order.

    Raises
    ------
    InputError
        If there is no Parquet file, or one is damaged.
    """
    return [group for path in parquet_files(folder) for group in row_groups(path)]


def corpus_columns(folder: Path) -> list[str]:
    """Names of the columns that the first file of a corpus has."""
    return list(columns_of_file(parquet_files(folder)[0]))


def document_frames(group: RowGroup) -> Iterator[pl.DataFrame]:
    """Yield the documents of a row group; what another tool left out is filled in.

    Raises
    ------
    InputError
        If the file is damaged or a row has no text.
    """
    row = 0
    for frame in read_frames(group, DOCUMENT_COLUMNS):
        if "text" not in frame.columns or frame["text"].null_count():
            raise InputError(
                "a document without 'text'",
                where=f"{group.path}, row group {group.number}, after row {row}",
                fix="give every row a text",
            )
        if any(name not in frame.columns or frame[name].null_count() for name in _FILLED):
            frame = _filled(frame, group, row)
        yield with_columns(frame, DOCUMENT_COLUMNS)
        row += frame.height


def _filled(frame: pl.DataFrame, group: RowGroup, first: int) -> pl.DataFrame:
    """What :func:`new_document` would have said, where a row says nothing."""
    made = []
    for number, row in enumerate(frame.iter_rows(named=True), first):
        document = new_document(
            row["text"],
            source=row.get("source") or "import",
            url=row.get("url") or f"{group.path.name}#{group.number}-{number}",
            title=row.get("title") or "",
            licence=row.get("licence") or UNKNOWN_LICENCE,
        )
        said = {name: value for name, value in row.items() if value is not None}
        made.append({name: said.get(name, getattr(document, name)) for name in DOCUMENT_COLUMNS})
    schema = {name: POLARS_TYPES[kind] for name, kind in DOCUMENT_COLUMNS.items()}
    return pl.DataFrame(made, schema=schema)


def _total(sizes: pl.Series) -> int:
    return int(sizes.sum())
