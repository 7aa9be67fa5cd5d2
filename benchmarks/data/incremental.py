"""Adding one per cent of documents to an index of near-duplicates, next to making it anew.

python benchmarks/data/incremental.py SHARED_DATA [--documents N]

Prints CPU-seconds (all threads) of both, signatures and clusters included. Exit code 1 if any
byte of the two indexes differs or the clusters do.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
from planted_duplicates import plant

from modelwright.data.duplicates.band_index import Batch, build_index, update_index
from modelwright.data.duplicates.clusters import Clusters, find_clusters
from modelwright.data.duplicates.signature import band_hashes

MEMORY = 64 << 20
REPEATS = 3


def main() -> int:
    """Compare and print; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("shared", type=Path)
    parser.add_argument("--documents", type=int, default=30_000)
    arguments = parser.parse_args()
    texts = pl.Series(plant(arguments.shared, arguments.documents).texts.values())
    keys = np.random.default_rng(0).permutation(len(texts)).astype(np.uint64)
    old = len(texts) * 99 // 100
    nothing = np.empty(0, dtype=np.uint64)

    with tempfile.TemporaryDirectory() as name:
        before, added, anew = (Path(name) / part for part in ("before", "added", "anew"))
        build_index(batches(keys[:old], texts[:old]), before, MEMORY)

        def add() -> Clusters:
            update_index(before, nothing, batches(keys[old:], texts[old:]), added, MEMORY)
            return find_clusters(added, MEMORY)

        def rebuild() -> Clusters:
            build_index(batches(keys, texts), anew, MEMORY)
            return find_clusters(anew, MEMORY)

        adding, found = timed(add)
        rebuilding, expected = timed(rebuild)
        same = contents(added) == contents(anew)
    same_clusters = np.array_equal(found.keys, expected.keys)
    same_clusters &= np.array_equal(found.roots, expected.roots)
    print(f"{old:,} documents and {len(texts) - old:,} more")
    print(f"adding: {adding:.3f} CPU-seconds; making it anew: {rebuilding:.3f}")
    print(f"ratio: {rebuilding / adding:.1f}; same bytes: {same}; same clusters: {same_clusters}")
    return int(not (same and same_clusters))


def batches(keys: np.ndarray, texts: pl.Series) -> Iterator[Batch]:
    for start in range(0, len(keys), 1000):
        yield keys[start : start + 1000], *band_hashes(texts[start : start + 1000])


def timed(work: Callable[[], Clusters]) -> tuple[float, Clusters]:
    """Median CPU-seconds, and what came out."""
    seconds = []
    for _ in range(REPEATS):
        began = time.process_time()
        result = work()
        seconds.append(time.process_time() - began)
    return statistics.median(seconds), result


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


if __name__ == "__main__":
    sys.exit(main())
