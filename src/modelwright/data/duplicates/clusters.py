"""Clusters of near-duplicates: documents that are linked, directly or by others, by equal bands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelwright.data.duplicates.band_index import verify_index
from modelwright.data.duplicates.records import Keys, Run, merge
from modelwright.data.duplicates.signature import BANDS

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Clusters:
    """The documents that have a near-duplicate.

    Parameters
    ----------
    keys : ndarray of uint64
        Their keys in ascending order.
    roots : ndarray of uint64
        For each the smallest key of its cluster, which names the cluster.
    """

    keys: Keys
    roots: Keys


def find_clusters(folder: Path, memory_bytes: int) -> Clusters:
    """Link all documents that share a band and return the connected components.

    Parameters
    ----------
    folder : Path
        An index of bands.
    memory_bytes : int
        About how much memory reading may take; the documents that have a near-duplicate are
        held in memory beside it.

    Raises
    ------
    InputError
        If the index is damaged.
    """
    index = verify_index(folder)
    none = np.empty(0, dtype=np.uint64)
    clusters = Clusters(none, none)
    for band in range(BANDS):
        clusters = _link(clusters, *_edges(index.run(band), memory_bytes))
    return clusters


def _edges(run: Run, memory_bytes: int) -> tuple[Keys, Keys]:
    """Pair each record with the first that has its hash: keys of the latter and of the former."""
    first_keys, other_keys = [], []
    before = np.empty((0, 2), dtype=np.uint64)
    for block in merge([run], memory_bytes):
        records = np.concatenate([before, block])
        hashes, keys = records[:, 0], records[:, 1]
        others = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
        begins = np.flatnonzero(np.diff(others, prepend=-1) > 1)  # of each run of equal hashes
        lengths = np.diff(begins, append=len(others))
        firsts = np.repeat(others[begins] - 1, lengths)
        first_keys.append(keys[firsts])
        other_keys.append(keys[others])
        # The last hash may go on in the next block; its first record stands for it there.
        is_repeated = len(others) > 0 and others[-1] == len(records) - 1
        place = firsts[-1] if is_repeated else len(records) - 1
        before = records[place : place + 1].copy()
    none = np.empty(0, dtype=np.uint64)
    return np.concatenate([none, *first_keys]), np.concatenate([none, *other_keys])


def _link(clusters: Clusters, left: Keys, right: Keys) -> Clusters:
    """Add edges between keys to clusters."""
    left, right = np.concatenate([clusters.roots, left]), np.concatenate([clusters.keys, right])
    keys = np.unique(np.concatenate([left, right]))
    roots = components(len(keys), np.searchsorted(keys, left), np.searchsorted(keys, right))
    return Clusters(keys, keys[roots])


def components(count: int, left: Places, right: Places) -> Places:
    """Find the smallest node that each node of a graph is connected with.

    Roots that an edge joins are hooked to the smaller one and trees flattened until no edge
    joins two roots, all edges at a time (after Shiloach and Vishkin 1982).

    Parameters
    ----------
    count : int
        Nodes are ``0`` to ``count - 1``.
    left, right : ndarray of int64, shape (edges,)
        The ends of each edge.

    Returns
    -------
    ndarray of int64, shape (count,)
    """
    root = np.arange(count)
    while True:
        left, right = root[left], root[right]
        joins = left != right
        if not joins.any():
            return root
        left, right = left[joins], right[joins]
        np.minimum.at(root, np.maximum(left, right), np.minimum(left, right))
        while not np.array_equal(root, above := root[root]):
            root = above
