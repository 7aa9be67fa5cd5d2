"""The first pass of the prepare stage: what becomes of each document, from its scores alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelwright.core.progress import Progress
from modelwright.data.annotation.identity import CONTENT
from modelwright.data.annotation.merge import CLUSTER
from modelwright.data.annotation.scores import BYTES, CHARACTERS
from modelwright.data.parquet import Columns, RowGroup, read_frames
from modelwright.data.preparation.reasons import Reasons
from modelwright.data.split import position

DUPLICATE = "duplicate"
NEAR_DUPLICATE = "near-duplicate"

_KEPT_COLUMNS = ["id", "source", CONTENT, CLUSTER, CHARACTERS, BYTES]


@dataclass(frozen=True)
class Decisions:
    """What becomes of the documents of an annotated corpus, in its order.

    Attributes
    ----------
    reasons : polars.Series
        Categories: why a document is dropped, null if it stays.
    duplicate_of : dict of int to str
        By row: the id of the document that is kept for a duplicate.
    positions : numpy.ndarray
        float64 in [0, 1) for the documents that stay: where they fall in the split. Near-duplicates
        fall on one place, so that the split cannot part them.
    sources : polars.Series
        Categories: the source of each document that stays.
    sizes : numpy.ndarray
        int64: UTF-8 bytes of each document that stays.
    """

    reasons: pl.Series
    duplicate_of: dict[int, str]
    positions: NDArray[np.float64]
    sources: pl.Series
    sizes: NDArray[np.int64]

    @property
    def kept(self) -> NDArray[np.int64]:
        """The rows that stay."""
        return np.flatnonzero(self.reasons.is_null().to_numpy())


def decide(
    groups: Sequence[RowGroup],
    reasons: Reasons,
    seed: int,
    keep_near_duplicates: bool,
    progress: Progress,
) -> Decisions:
    """Hold the scores of all documents against the settings, then choose among duplicates.

    Of a cluster of near-duplicates the longest document that nothing else speaks against stays;
    of equally long ones that with the smallest id.
    """
    columns: Columns = {
        **dict.fromkeys(("id", "url", "source", "licence", CONTENT, CLUSTER), "text"),
        **dict.fromkeys(("replaced", CHARACTERS, BYTES), "integer"),
        **reasons.columns,
    }
    found, staying, row = list[pl.Series](), list[pl.DataFrame](), 0
    total = sum(group.rows for group in groups)
    with progress.task("check documents", total, "documents") as task:
        for group in groups:
            for frame in read_frames(group, columns, rows_at_once=4096):
                why = reasons.of(frame)
                found.append(why.cast(pl.Categorical))
                rows = pl.int_range(row, row + frame.height, eager=True).alias("row")
                stays = frame.select(_KEPT_COLUMNS).with_columns(rows).filter(why.is_null())
                staying.append(_compact(stays, seed))
                row += frame.height
                task.update(row)
    everything = pl.concat(found)
    kept = pl.concat(staying)
    twins = _duplicates(kept, keep_near_duplicates)
    marks = twins.select("row", pl.col("reason").cast(pl.Categorical))
    whole = pl.DataFrame({"row": pl.int_range(0, row, eager=True), "first": everything})
    joined = whole.join(marks, on="row", how="left", maintain_order="left")
    kept = kept.join(marks, on="row", how="anti", maintain_order="left")
    return Decisions(
        reasons=joined.select(pl.coalesce("first", "reason").alias("reason")).to_series(),
        duplicate_of=dict(zip(twins["row"], twins["best"], strict=True)),
        positions=kept["position"].to_numpy(),
        sources=kept["source"],
        sizes=kept[BYTES].to_numpy(),
    )


def _compact(kept: pl.DataFrame, seed: int) -> pl.DataFrame:
    """What has to be known of a document that stays: little, for it is held for all of them."""
    keys = kept.select(pl.coalesce(CLUSTER, CONTENT)).to_series()
    places = pl.Series("position", [position(seed, key) for key in keys], pl.Float64)
    in_cluster = pl.col(CLUSTER).is_not_null()
    return kept.with_columns(
        places,
        pl.col("source").cast(pl.Categorical),
        # Only among near-duplicates do these matter.
        pl.when(in_cluster).then("id").alias("id"),
        pl.when(in_cluster).then(CONTENT).alias(CONTENT),
    )


def _duplicates(kept: pl.DataFrame, keep_near: bool) -> pl.DataFrame:
    """The rows to drop as duplicates: columns ``row``, ``best`` (id of what stays), ``reason``."""
    among = kept.filter(pl.col(CLUSTER).is_not_null())
    cluster = [CLUSTER, CONTENT] if keep_near else [CLUSTER]
    order = [*cluster, CHARACTERS, "id"]
    descending = [name == CHARACTERS for name in order]
    best = among.sort(order, descending=descending).group_by(cluster, maintain_order=True).first()
    best = best.select(*cluster, pl.col("id").alias("best"), pl.col(CONTENT).alias("best_content"))
    same = pl.col(CONTENT) == pl.col("best_content")
    return (
        among.join(best, on=cluster, how="left", maintain_order="left")
        .filter(pl.col("id") != pl.col("best"))
        .select(
            "row",
            "best",
            pl.when(same).then(pl.lit(DUPLICATE)).otherwise(pl.lit(NEAR_DUPLICATE)).alias("reason"),
        )
    )
