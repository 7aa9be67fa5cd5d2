"""Finding documents of a corpus by their text, their address or their scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from modelwright.core.errors import UsageError
from modelwright.data.frames import corpus_columns, corpus_groups
from modelwright.data.parquet import columns_of_file, read_frames

SEARCHED = ("text", "title", "url")


def look(folder: Path, query: str = "", where: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the documents that fit, each with all its columns.

    Parameters
    ----------
    folder : Path
        A corpus.
    query : str
        Part of a text, a title or an address, in any case; or a whole id. "" fits everything.
    where : str, optional
        SQL condition on the columns.

    Raises
    ------
    UsageError
        If the condition cannot be read, or names a column that is not there.
    InputError
        If the corpus is damaged.
    """
    condition = _condition(query, where)
    for group in corpus_groups(folder):
        for frame in read_frames(group, columns_of_file(group.path)):
            try:
                found = frame.filter(condition)
            except pl.exceptions.PolarsError as error:
                raise UsageError(
                    f"cannot apply the condition: {str(error).splitlines()[0]}",
                    where=where,
                    fix="see the columns with --columns; write text in 'single quotes'",
                ) from None
            yield from found.iter_rows(named=True)


def score_columns(folder: Path) -> list[str]:
    """Names of the columns that a condition can use."""
    return [name for name in corpus_columns(folder) if name != "text"]


def _condition(query: str, where: str | None) -> pl.Expr:
    condition = pl.lit(True)
    if query:
        lowered = query.lower()
        parts = [
            pl.col(name).str.to_lowercase().str.contains(lowered, literal=True) for name in SEARCHED
        ]
        condition &= pl.any_horizontal(*parts) | (pl.col("id") == query)
    if where:
        try:
            condition &= pl.sql_expr(where)
        except pl.exceptions.PolarsError as error:
            raise UsageError(
                f"cannot read the condition: {str(error).splitlines()[0]}", where=where
            ) from None
    return condition
