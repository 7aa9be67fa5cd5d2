"""Sorting and merging records against Python's own sort."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.errors import InputError
from modelwright.data.duplicates import records
from modelwright.data.duplicates.records import MERGE_BYTES_A_RECORD, Run, merge, sort_records

NUMBERS = st.sampled_from([0, 1, 2, 3, 2**63, 2**64 - 2, 2**64 - 1])
RECORDS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=40)


def as_array(rows: list[tuple[int, int]]) -> np.ndarray:
    return np.array(rows, dtype=np.uint64).reshape(-1, 2)


def merged(
    parts: list[list[tuple[int, int]]], folder: Path, at_once: int, without: list[int] | None = None
) -> list[tuple[int, int]]:
    """Write the parts one after the other into one file, and merge them."""
    path = folder / "records.bin"
    with open(path, "wb") as file:
        for part in parts:
            file.write(as_array(sorted(part)).astype("<u8").tobytes())
    firsts = np.cumsum([0, *map(len, parts)])
    runs = [
        Run(path, int(first), len(part), np.array(without or [], dtype=np.uint64))
        for first, part in zip(firsts, parts, strict=False)
    ]
    blocks = list(merge(runs, at_once * MERGE_BYTES_A_RECORD))
    return [(int(hash_), int(key)) for block in blocks for hash_, key in block]


@given(RECORDS, st.sampled_from(["quicksort", "stable"]))
def test_sorting(rows: list[tuple[int, int]], kind) -> None:
    assert list(map(tuple, sort_records(as_array(rows), kind).tolist())) == sorted(rows)


@settings(max_examples=150)
@given(st.lists(RECORDS, max_size=5), st.integers(0, 50), st.lists(NUMBERS))
def test_merging(tmp_path_factory, parts, at_once, without) -> None:
    folder = tmp_path_factory.mktemp("merge")
    expected = sorted(row for part in parts for row in part if row[1] not in without)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "FEWEST_AT_ONCE", 1)
        assert merged(parts, folder, at_once, sorted(set(without))) == expected


def test_blocks_stay_small(tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    path = tmp_path / "records.bin"
    rows = [sort_records(dice.integers(0, 2**64, (5000, 2), dtype=np.uint64)) for _ in range(4)]
    rows[3][:, 0] = 7  # as a large cluster has
    rows[3] = sort_records(rows[3])
    path.write_bytes(np.concatenate(rows).astype("<u8").tobytes())
    runs = [Run(path, 5000 * number, 5000) for number in range(4)]
    sizes = [len(block) for block in merge(runs, 1000 * MERGE_BYTES_A_RECORD)]
    assert sum(sizes) == 20_000
    assert max(sizes) <= 1000
    assert len(sizes) < 60


def test_a_file_that_shrinks_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "records.bin"
    path.write_bytes(bytes(16 * 3 - 1))
    with pytest.raises(InputError, match="shorter"):
        list(merge([Run(path, 0, 3)], 1000))
