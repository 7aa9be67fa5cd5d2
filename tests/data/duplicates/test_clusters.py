"""Clusters against a union-find that is written the plain way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.errors import InputError
from modelwright.data.duplicates import records
from modelwright.data.duplicates.band_index import build_index
from modelwright.data.duplicates.clusters import components, find_clusters
from modelwright.data.duplicates.records import MERGE_BYTES_A_RECORD
from modelwright.data.duplicates.signature import BANDS, band_hashes

PLENTY = 1 << 20


def smallest_reachable(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """Brute force: lower names along the edges until nothing changes."""
    names = list(range(count))
    changed = True
    while changed:
        changed = False
        for one, other in edges:
            low = min(names[one], names[other])
            changed |= names[one] != low or names[other] != low
            names[one] = names[other] = low
    return names


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60))
def test_components(edges: list[tuple[int, int]]) -> None:
    left, right = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    assert components(31, left, right).tolist() == smallest_reachable(31, edges)


@pytest.mark.parametrize("shuffled", [False, True])
def test_long_chains(shuffled: bool) -> None:
    nodes = np.arange(20_000)
    if shuffled:
        np.random.default_rng(1).shuffle(nodes)
    assert not components(len(nodes), nodes[:-1], nodes[1:]).any()


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), max_size=30),
    st.integers(0, 9),
)
def test_clusters_equal_brute_force(tmp_path_factory, shared: list[list[int]], fits: int) -> None:
    count = len(shared)
    dice = np.random.default_rng(count)
    keys = dice.permutation(count).astype(np.uint64) + np.uint64(2**64 - 40)
    bands = dice.integers(100, 2**64, (count, BANDS), dtype=np.uint64)
    # Three bands may agree.
    bands[:, [0, 5, 13]] = np.array(shared, dtype=np.uint64).reshape(count, 3)
    folder = tmp_path_factory.mktemp("clusters")
    build_index([(keys, bands, np.ones(count, dtype=np.bool_))], folder, PLENTY)

    order = np.argsort(keys)
    edges = [
        (one, other)
        for one in range(count)
        for other in range(one)
        if (bands[order[one]] == bands[order[other]]).any()
    ]
    names = smallest_reachable(count, edges)
    in_cluster = [place for place in range(count) if names.count(names[place]) > 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "FEWEST_AT_ONCE", 1)
        clusters = find_clusters(folder, fits * MERGE_BYTES_A_RECORD)
    assert clusters.keys.tolist() == [int(keys[order[place]]) for place in in_cluster]
    assert clusters.roots.tolist() == [int(keys[order[names[place]]]) for place in in_cluster]


def test_texts_to_clusters(tmp_path: Path) -> None:
    novel = "It was a bright cold day in April and the clocks were striking thirteen. " * 3
    other = "Call me Ishmael. Some years ago, never mind how long precisely, I went to sea."
    texts = [novel, "", other, novel.upper(), "short", "SHORT!", novel + "The end.", "?!"]
    keys = np.arange(100, 108, dtype=np.uint64)
    build_index([(keys, *band_hashes(pl.Series(texts)))], tmp_path / "index", PLENTY)
    clusters = find_clusters(tmp_path / "index", PLENTY)
    assert clusters.keys.tolist() == [100, 103, 104, 105, 106]
    assert clusters.roots.tolist() == [100, 100, 104, 104, 100]


def test_a_damaged_index_is_refused(tmp_path: Path) -> None:
    bands, has_words = band_hashes(pl.Series(["a", "b", "c"]))
    build_index([(np.arange(3, dtype=np.uint64), bands, has_words)], tmp_path, PLENTY)
    path = tmp_path / "band-03.bin"
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(InputError, match="checksum"):
        find_clusters(tmp_path, PLENTY)
