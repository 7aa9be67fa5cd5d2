"""The second pass of the prepare stage: the texts of what is kept, without personal data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import polars as pl

from modelwright.data.parquet import Columns, RowGroup, read_frames
from modelwright.data.personal_data.redact import redact

FRAME_ROWS = 256


@dataclass(frozen=True)
class RedactionTask:
    """Rows of a row group to be written.

    Attributes
    ----------
    group : RowGroup
        Where they are.
    kept : tuple of int
        Their numbers in it, ascending.
    """

    group: RowGroup
    kept: tuple[int, ...]


@dataclass(frozen=True)
class Redactor:
    """Reads kept documents and puts placeholders for personal data; sent to worker processes.

    Attributes
    ----------
    columns : mapping
        What to read.
    kinds : tuple of (str, str)
        Kinds to replace, each with the column that counts them.
    """

    columns: Columns
    kinds: tuple[tuple[str, str], ...]

    def __call__(self, task: RedactionTask) -> tuple[list[pl.DataFrame], dict[str, int]]:
        """The kept documents, and what was replaced by kind."""
        frames, counts, start = list[pl.DataFrame](), Counter[str](), 0
        for frame in read_frames(task.group, self.columns, FRAME_ROWS):
            end = start + frame.height
            rows = [row - start for row in task.kept if start <= row < end]
            if rows:
                frames.append(self._redacted(frame[rows], counts))
            start = end
        return frames, dict(counts)

    def _redacted(self, frame: pl.DataFrame, counts: Counter[str]) -> pl.DataFrame:
        if not self.kinds:
            return frame
        concerned = frame.select(
            pl.sum_horizontal(column for _, column in self.kinds) > 0
        ).to_series()
        if not concerned.any():
            return frame
        names = frozenset(name for name, _ in self.kinds)
        texts = frame["text"].to_list()
        for row in concerned.arg_true():
            redacted = redact(texts[row], names)
            texts[row] = redacted.text
            counts.update(redacted.counts)
        return frame.with_columns(pl.Series("text", texts, pl.String))
