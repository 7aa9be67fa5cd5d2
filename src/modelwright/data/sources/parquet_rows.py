"""Rows of Parquet files of unknown origin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from modelwright.data.sources.streams import DAMAGED, ContentError

BAD_PARQUET = f"{DAMAGED}: Parquet file"
ROWS_AT_ONCE = 64
MAX_GROUP_BYTES = 4 * 2**30
"""Largest row group, uncompressed and in the columns that are read, as its header states it."""
LARGE_GROUP = f"Parquet row group larger than {MAX_GROUP_BYTES // 2**30} GiB"


def parquet_rows(file: BinaryIO, required: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield rows as mappings of column name to value; columns that are not there are left out.

    Parameters
    ----------
    file : BinaryIO
        Seekable.
    required : str
        The column that it must have, as text.
    columns : sequence of str
        What to read; those that do not hold text (an ``id`` may be an integer) are left out.

    Raises
    ------
    ContentError
        If it is not Parquet, damaged, or lacks the required column; what was read before stands.
    """
    try:
        with pq.ParquetFile(file, pre_buffer=False) as table:
            names = _names(table, required, columns)
            for number in range(table.metadata.num_row_groups):
                _check_size(table.metadata.row_group(number), names)
                yield from _group_rows(table, number, names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ContentError(BAD_PARQUET) from None


def _names(table: pq.ParquetFile, required: str, columns: Sequence[str]) -> list[str]:
    schema = table.schema_arrow
    if schema.names.count(required) != 1:
        raise ContentError(f"no column '{required}'")
    if not _is_text(schema.field(required).type):
        raise ContentError(f"column '{required}' is not text")
    return [
        name
        for name in columns
        if schema.names.count(name) == 1
        and (
            _is_text(schema.field(name).type)
            or (name == "id" and pa.types.is_integer(schema.field(name).type))
        )
    ]


def _group_rows(table: pq.ParquetFile, number: int, names: list[str]) -> Iterator[dict[str, Any]]:
    for batch in table.iter_batches(ROWS_AT_ONCE, row_groups=[number], columns=names):
        values = [batch.column(name).to_pylist() for name in names]
        for row in zip(*values, strict=True):
            yield dict(zip(names, row, strict=True))


def _check_size(group: Any, names: list[str]) -> None:
    columns = [group.column(place) for place in range(group.num_columns)]
    size = sum(
        column.total_uncompressed_size for column in columns if column.path_in_schema in names
    )
    if size > MAX_GROUP_BYTES:
        raise ContentError(LARGE_GROUP)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
