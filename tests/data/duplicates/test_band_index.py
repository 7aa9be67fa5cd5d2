"""The index on disk: the same bytes however it came about, and refused when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.errors import InputError, UsageError
from modelwright.data.duplicates import band_index, records
from modelwright.data.duplicates.band_index import (
    BYTES_A_DOCUMENT,
    Batch,
    build_index,
    open_index,
    update_index,
    verify_index,
)
from modelwright.data.duplicates.signature import BANDS

PLENTY = 1 << 20


def some_documents(count: int, seed: int = 0) -> Batch:
    """Keys and bands; many bands are shared, and every fifth document has no words."""
    dice = np.random.default_rng(seed)
    keys = dice.permutation(np.arange(1, count + 1, dtype=np.uint64) * np.uint64(10**17 + 3))
    bands = dice.integers(0, 2**64, (count, BANDS), dtype=np.uint64)
    shared = dice.random((count, BANDS)) < 0.4
    bands[shared] = dice.integers(0, 3, int(shared.sum())).astype(np.uint64)
    return keys, bands, np.arange(count) % 5 != 4


def part(batch: Batch, chosen) -> Batch:
    keys, bands, has_words = batch
    return keys[chosen], bands[chosen], has_words[chosen]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    build_index([some_documents(100)], tmp_path / "index", PLENTY)
    return tmp_path / "index"


def test_files_hold_sorted_records(tmp_path: Path) -> None:
    keys, bands, has_words = some_documents(60)
    index = build_index([(keys, bands, has_words)], tmp_path / "index", PLENTY)
    assert index == open_index(tmp_path / "index")
    assert index.documents == has_words.sum() == 48
    for band in range(BANDS):
        stored = np.fromfile(tmp_path / "index" / f"band-{band:02}.bin", dtype="<u8")
        hashes = bands[has_words, band].tolist()
        expected = sorted(zip(hashes, keys[has_words].tolist(), strict=True))
        assert list(map(tuple, stored.reshape(-1, 2).tolist())) == expected
    assert len(files_of(tmp_path / "index")) == BANDS + 1


@settings(max_examples=25)
@given(st.integers(0, 40), st.randoms(use_true_random=False), st.integers(1, 30))
def test_order_batches_and_memory_make_no_difference(tmp_path_factory, count, dice, fits) -> None:
    folder = tmp_path_factory.mktemp("build")
    documents = some_documents(count, seed=count)
    build_index([documents], folder / "expected", PLENTY)
    order = dice.sample(range(count), count)
    cuts = sorted(dice.choices(range(count + 1), k=3))
    pieces = np.split(np.array(order, dtype=np.int64), cuts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "FEWEST_AT_ONCE", 1)
        batches = [part(documents, piece) for piece in pieces]
        build_index(batches, folder / "found", fits * BYTES_A_DOCUMENT)
    assert files_of(folder / "found") == files_of(folder / "expected")


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["old", "removed", "new", "changed"]), max_size=40))
def test_update_equals_build(tmp_path_factory, states: list[str]) -> None:
    folder = tmp_path_factory.mktemp("update")
    documents = some_documents(len(states), seed=1)
    state = np.array(states, dtype=object)
    before = some_documents(len(states), seed=1)
    before[1][state == "changed"] += np.uint64(1)
    build_index([part(before, state != "new")], folder / "old", PLENTY)
    gone = np.isin(state, ["removed", "changed"])
    added = part(documents, np.isin(state, ["new", "changed"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "FEWEST_AT_ONCE", 1)
        removed = np.sort(documents[0][gone])
        update_index(folder / "old", removed, [added], folder / "found", 9 * BYTES_A_DOCUMENT)
    build_index([part(documents, state != "removed")], folder / "expected", PLENTY)
    assert files_of(folder / "found") == files_of(folder / "expected")


def test_an_index_is_replaced(index: Path) -> None:
    build_index([some_documents(7)], index, PLENTY)
    assert verify_index(index).documents == 6


def test_an_index_is_not_written_over_itself(index: Path) -> None:
    with pytest.raises(UsageError):
        update_index(index, np.empty(0, dtype=np.uint64), [], index, PLENTY)
    verify_index(index)


def test_a_batch_given_twice_is_refused(tmp_path: Path) -> None:
    documents = some_documents(20)
    with pytest.raises(InputError, match="same key"):
        build_index([documents, part(documents, slice(3, 4))], tmp_path / "index", PLENTY)
    with pytest.raises(InputError, match="no complete index"):
        open_index(tmp_path / "index")


class StoppedError(Exception):
    pass


def test_what_was_cut_off_is_no_index_and_does_no_harm(tmp_path: Path, index: Path) -> None:
    def batches():
        yield some_documents(50)
        raise StoppedError

    with pytest.raises(StoppedError):
        build_index(batches(), index, 5 * BYTES_A_DOCUMENT)
    with pytest.raises(InputError, match="no complete index"):
        open_index(index)
    build_index([some_documents(50)], index, 5 * BYTES_A_DOCUMENT)
    build_index([some_documents(50)], tmp_path / "expected", PLENTY)
    assert files_of(index) == files_of(tmp_path / "expected")


def test_the_head_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_) -> None:
        raise StoppedError

    monkeypatch.setattr(band_index, "write_json", stop)
    with pytest.raises(StoppedError):
        build_index([some_documents(9)], tmp_path / "index", PLENTY)
    with pytest.raises(InputError, match="no complete index"):
        open_index(tmp_path / "index")


def test_a_flipped_bit_is_noticed(tmp_path: Path, index: Path) -> None:
    path = index / "band-07.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match="checksum") as caught:
        verify_index(index)
    assert caught.value.where == str(path)
    with pytest.raises(InputError, match="checksum"):
        update_index(index, np.empty(0, dtype=np.uint64), [], tmp_path / "new", PLENTY)


@pytest.mark.parametrize("change", [lambda data: data[:-16], lambda data: data + bytes(16)])
def test_another_size_is_noticed(index: Path, change) -> None:
    path = index / "band-13.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match="incomplete"):
        open_index(index)


def test_a_missing_file_is_noticed(index: Path) -> None:
    (index / "band-00.bin").unlink()
    with pytest.raises(InputError, match="incomplete"):
        open_index(index)


@pytest.mark.parametrize(
    "head",
    [b"", b"\xff\xfe", b"[]", b"1", b'{"format": "modelwright-bands"}', b"[" * 100_000],
)
def test_a_head_that_is_none(index: Path, head: bytes) -> None:
    (index / "index.json").write_bytes(head)
    with pytest.raises(InputError):
        open_index(index)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", 2),
        ("bands", 20),
        ("documents", "80"),
        ("documents", True),
        ("documents", -1),
        ("checksums", None),
        ("checksums", []),
    ],
)
def test_a_head_with_other_values(index: Path, name: str, value) -> None:
    head = json.loads((index / "index.json").read_text())
    (index / "index.json").write_text(json.dumps(head | {name: value}))
    with pytest.raises(InputError):
        open_index(index)
