"""The Parquet tables that are ours: text, integers, numbers and bytes, in row groups."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from modelwright.core.errors import InputError
from modelwright.core.files import atomic_open

ColumnType = Literal["text", "integer", "number", "bytes"]
Columns = Mapping[str, ColumnType]
"""Names and types of a table's columns; any value may be missing (None)."""

ROWS_AT_ONCE = 256
FRAME_ROWS = 1024
_TYPES = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "bytes": pa.binary(),
}


class TableWriter:
    """Writes one zstd-compressed Parquet file, seen under its name only when it is complete.

    Parameters
    ----------
    path : Path
        The file to write; replaced if it is there.
    columns : mapping of name to type
        The table's columns.
    """

    def __init__(self, path: Path, columns: Columns):
        self._names = list(columns)
        self._schema = pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
        self._path = path
        self._stack = ExitStack()

    def __enter__(self) -> TableWriter:
        self._file = self._stack.enter_context(atomic_open(self._path))
        self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")
        return self

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows, each a mapping of column name to value, as one row group."""
        columns = [
            pa.array([row[name] for row in rows], type=self._schema.field(name).type)
            for name in self._names
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def write_frame(self, frame: pl.DataFrame) -> None:
        """Write a frame that has all the columns as one row group, also if it has no row."""
        table = frame.select(self._names).to_arrow().cast(self._schema)
        self._writer.write_table(table, row_group_size=max(1, frame.height))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            with self._stack:
                self._writer.close()
            return
        # The file is thrown away: what closing says about it would hide the first error.
        with contextlib.suppress(OSError):
            self._writer.close()
        self._stack.__exit__(kind, error, trace)


@dataclass(frozen=True)
class RowGroup:
    """A part of a Parquet file that is read at once.

    Attributes
    ----------
    path : Path
        The file.
    number : int
        Its place in the file.
    rows : int
        How many it has.
    size : int
        Bytes of all its columns before compression.
    """

    path: Path
    number: int
    rows: int
    size: int


def row_groups(path: Path) -> list[RowGroup]:
    """The row groups of a file.

    Raises
    ------
    InputError
        If the file is not Parquet.
    """
    with _explained(path), pq.ParquetFile(path) as file:
        metadata = file.metadata
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        return [
            RowGroup(path, number, group.num_rows, group.total_byte_size)
            for number, group in enumerate(groups)
        ]


def columns_of_file(path: Path) -> Columns:
    """Names and types of a file's columns, those of types that we do not write left out.

    Raises
    ------
    InputError
        If the file is not Parquet.
    """
    with _explained(path):
        schema = pq.read_schema(path)
    kinds = {field.name: _kind_of(field.type) for field in schema}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def read_frames(
    group: RowGroup, columns: Columns, rows_at_once: int = FRAME_ROWS
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a row group as frames; columns that the file lacks are left out.

    Raises
    ------
    InputError
        If the file is damaged, or a column has another type.
    """
    with _explained(group.path), pq.ParquetFile(group.path) as file:
        schema = file.schema_arrow
        names = [name for name in columns if name in schema.names]
        for name in names:
            _check_type(group.path, name, columns[name], schema.field(name).type)
        for batch in file.iter_batches(rows_at_once, row_groups=[group.number], columns=names):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)  # of a batch of records, never a series
            yield frame


def read_rows(path: Path, columns: Columns, required: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file; memory holds a few hundred of them at a time.

    Parameters
    ----------
    path : Path
        The file.
    columns : mapping of name to type
        What to read; columns that the file lacks are left out.
    required : str
        The column that it must have.

    Raises
    ------
    InputError
        If the file is not Parquet, is damaged, lacks the required column, or a column has
        another type.
    """
    with ExitStack() as stack:
        stack.enter_context(_explained(path))
        file = stack.enter_context(pq.ParquetFile(path))
        schema = file.schema_arrow
        if required not in schema.names:
            raise InputError(
                f"there is no column '{required}', but {', '.join(schema.names) or 'none'}",
                where=path,
                fix=f"rename the column that holds it to '{required}'",
            )
        names = [name for name in columns if name in schema.names]
        for name in names:
            _check_type(path, name, columns[name], schema.field(name).type)
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=names):
            values = [batch.column(name).to_pylist() for name in names]
            for row in zip(*values, strict=True):
                yield dict(zip(names, row, strict=True))


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what PyArrow says of a damaged file into an error that names it."""
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _damaged(path, error) from None
    except OSError as error:
        # PyArrow raises OSError without a number when the content is at fault.
        if error.errno is not None:
            raise
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    lines = str(error).splitlines() or [type(error).__name__]
    return InputError(
        f"cannot read this Parquet file: {lines[0]}",
        where=path,
        fix="delete its folder and run again, or bring an undamaged copy",
    )


def _check_type(path: Path, name: str, wanted: ColumnType, found: pa.DataType) -> None:
    if _kind_of(found) != wanted:
        raise InputError(
            f"column '{name}' holds {found}, and {wanted} is needed",
            where=path,
            fix=f"write '{name}' as a column of {wanted}",
        )


def _kind_of(found: pa.DataType) -> ColumnType | None:
    if pa.types.is_string(found) or pa.types.is_large_string(found):
        return "text"
    if pa.types.is_integer(found):
        return "integer"
    if pa.types.is_floating(found):
        return "number"
    if pa.types.is_binary(found) or pa.types.is_large_binary(found):
        return "bytes"
    return None
