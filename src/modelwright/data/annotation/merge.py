"""From parts to one corpus in the order of the documents' keys, with clusters of duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelwright.core.errors import InputError
from modelwright.data.annotation.earlier import Earlier, read_earlier_buckets
from modelwright.data.annotation.identity import CONTENT, versions
from modelwright.data.annotation.parts import (
    KEY,
    PartMaker,
    is_among,
    read_bucket,
    unpack_keys,
)
from modelwright.data.annotation.scores import BAND_BYTES, unpack_bands
from modelwright.data.duplicates.band_index import build_index, update_index
from modelwright.data.duplicates.clusters import Clusters, find_clusters
from modelwright.data.frames import with_columns
from modelwright.data.parquet import Columns, RowGroup

INDEX = "index"
"""Folder of the band index inside an annotated corpus."""

CLUSTER = "cluster"
"""Column with the smallest key, in hexadecimal, of the near-duplicates that a document is among."""

LISTED_TWICE = "listed twice"


@dataclass
class Merge:
    """Puts parts together.

    Attributes
    ----------
    parts : sequence of sequence of RowGroup
        The row groups of each part.
    maker : PartMaker
        What made them.
    earlier : Earlier or None
        Where scores of known documents are copied from.
    memory : int
        Bytes for the sort.
    repeated : int
        Documents that were met again under the same id, counted while :meth:`frames` runs.
    """

    parts: Sequence[Sequence[RowGroup]]
    maker: PartMaker
    earlier: Earlier | None
    memory: int
    repeated: int = 0

    @property
    def columns(self) -> Columns:
        """The columns of the annotated corpus."""
        inner = {KEY, BAND_BYTES}
        kept = {name: kind for name, kind in self.maker.columns.items() if name not in inner}
        return {**kept, CLUSTER: "text"}

    def clusters(self, folder: Path) -> Clusters:
        """Write the band index of all documents into ``folder`` and find the clusters."""
        if self.earlier is None:
            build_index(self._bands(), folder, self.memory)
        else:
            removed = self._removed(self.earlier)
            before = self.earlier.folder / INDEX
            update_index(before, removed, self._bands(), folder, self.memory)
        return find_clusters(folder, self.memory)

    def frames(self, clusters: Clusters) -> Iterator[pl.DataFrame]:
        """Yield the annotated documents in the order of their keys.

        Raises
        ------
        InputError
            If two different texts have the same id.
        """
        copied = iter(
            read_earlier_buckets(self.earlier.folder, self.maker.columns, self.maker.bits)
            if self.earlier
            else ()
        )
        for bucket in range(2**self.maker.bits):
            yield from self._in_order(bucket, next(copied, None), clusters)

    def _in_order(
        self, bucket: int, scores: pl.DataFrame | None, clusters: Clusters
    ) -> Iterator[pl.DataFrame]:
        """Yield the documents of a bucket, if there are any; nothing of it is held afterwards."""
        frame = pl.concat(
            [
                with_columns(pl.DataFrame(), self.maker.columns).clear(),
                *read_bucket(self.parts, self.maker.columns, bucket, self.maker.bits),
            ]
        )
        if scores is not None:
            frame = _filled(frame, scores)
        frame = frame.sort(KEY, CONTENT, "url")
        frame = self._without_repeated(frame)
        if frame.height:
            yield frame.with_columns(_cluster_names(unpack_keys(frame[KEY]), clusters))

    def _without_repeated(self, frame: pl.DataFrame) -> pl.DataFrame:
        if not frame["id"].is_duplicated().any():
            return frame
        once = frame.unique([KEY, CONTENT], keep="first", maintain_order=True)
        self.repeated += frame.height - once.height
        twice = once.filter(pl.col("id").is_duplicated())
        if twice.height:
            raise InputError(
                f"two different documents have the id '{twice['id'][0]}'",
                where=f"{twice['url'][0]} and {twice['url'][1]}",
                fix="give every document its own id, or leave the column 'id' out",
            )
        return once

    def _bands(self) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.bool_]]]:
        columns: Columns = {KEY: "bytes", BAND_BYTES: "bytes"}
        seen = np.empty(0, np.uint64)
        for bucket in range(2**self.maker.bits):
            for frame in read_bucket(self.parts, columns, bucket, self.maker.bits):
                new = frame.filter(pl.col(BAND_BYTES).is_not_null()).unique(
                    KEY, keep="first", maintain_order=True
                )
                keys = unpack_keys(new[KEY])
                fresh = ~is_among(keys, seen)
                seen = np.sort(np.concatenate([seen, keys[fresh]]))
                bands = unpack_bands(new[BAND_BYTES])[fresh]
                yield keys[fresh], bands, np.ones(len(bands), np.bool_)
            seen = np.empty(0, np.uint64)

    def _removed(self, earlier: Earlier) -> NDArray[np.uint64]:
        """Keys of earlier documents that are gone, or have another text now."""
        columns: Columns = {KEY: "bytes", CONTENT: "text"}
        still = np.zeros(len(earlier.keys), np.bool_)
        for bucket in range(2**self.maker.bits):
            for frame in read_bucket(self.parts, columns, bucket, self.maker.bits):
                keys = unpack_keys(frame[KEY])
                places = np.searchsorted(earlier.keys, keys)
                places[places == len(earlier.keys)] = 0
                same = earlier.versions[places] == versions(keys, frame[CONTENT])
                still[places[same]] = True
        return earlier.keys[~still]


def _filled(frame: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """Put the scores of an earlier corpus where a document was known."""
    copied = [name for name in scores.columns if name not in ("id", CONTENT)]
    joined = frame.join(scores, on=["id", CONTENT], how="left", suffix="_earlier")
    return joined.with_columns(
        pl.coalesce(pl.col(name), pl.col(f"{name}_earlier")).alias(name) for name in copied
    ).select(frame.columns)


def _cluster_names(keys: NDArray[np.uint64], clusters: Clusters) -> pl.Series:
    places = np.searchsorted(clusters.keys, keys)
    members = is_among(keys, clusters.keys)
    names = [
        f"{int(clusters.roots[place]):016x}" if member else None
        for place, member in zip(places, members, strict=True)
    ]
    return pl.Series(CLUSTER, names, pl.String)
