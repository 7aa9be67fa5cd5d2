"""The index of bands on disk: which documents share the hash of a band.

A folder with one file a band, ``band-00.bin`` to ``band-13.bin``, of records (hash, key) in
ascending order, each two little-endian unsigned 64-bit integers; and ``index.json``, written
last, with the parameters, the number of documents and the checksum of each file. The bytes
depend on the documents only, not on their order or the memory that was allowed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelwright.core.errors import InputError, UsageError
from modelwright.core.files import atomic_open, naming, write_json
from modelwright.data.duplicates.mixing import Hashes
from modelwright.data.duplicates.records import (
    RECORD_BYTES,
    Keys,
    Records,
    Run,
    merge,
    sort_records,
)
from modelwright.data.duplicates.signature import BANDS, ROWS, SHINGLE_WORDS

HEAD = "index.json"
SCRATCH = "runs"
PARAMETERS = {
    "format": "modelwright-bands",
    "version": 1,
    "shingle_words": SHINGLE_WORDS,
    "bands": BANDS,
    "rows": ROWS,
}

Batch = tuple[Keys, Hashes, NDArray[np.bool_]]
"""Keys (n,), hashes of bands (n, 14) and which documents have words (n,)."""

# A document that waits to be sorted (a key and 14 hashes), and one band of it being sorted.
BYTES_A_DOCUMENT = 8 * (1 + BANDS) + 6 * RECORD_BYTES


@dataclass(frozen=True)
class BandIndex:
    """An index on disk.

    Parameters
    ----------
    folder : Path
        Where it is.
    documents : int
        How many documents are in it; each has one record in every band.
    checksums : tuple of str
        BLAKE2b of each band's file, in hexadecimal.
    """

    folder: Path
    documents: int
    checksums: tuple[str, ...]

    def run(self, band: int, without: Keys | None = None) -> Run:
        """Return the records of a band, except those of the documents in ``without``."""
        none = np.empty(0, dtype=np.uint64)
        return Run(
            _path(self.folder, band), 0, self.documents, none if without is None else without
        )


def build_index(batches: Iterable[Batch], folder: Path, memory_bytes: int) -> BandIndex:
    """Write the index of all documents.

    Parameters
    ----------
    batches : iterable of (keys, bands, has_words)
        The documents in any order; those without words are passed over.
    folder : Path
        Where to write; an index that is there is replaced.
    memory_bytes : int
        About how much memory sorting may take; what does not fit is sorted on disk, which
        takes as much room again as the index.

    Raises
    ------
    InputError
        If two documents with equal bands have the same key.
    """
    return _write_index([[] for _ in range(BANDS)], batches, folder, memory_bytes)


def update_index(
    old_folder: Path, removed: Keys, batches: Iterable[Batch], folder: Path, memory_bytes: int
) -> BandIndex:
    """Write the index of the documents of an older one, less some, and of new ones.

    The old index is read once and stays as it is. The files are those that `build_index` would
    write of all these documents.

    Parameters
    ----------
    old_folder : Path
        The older index.
    removed : ndarray of uint64
        Keys, in ascending order, of documents to leave out of the old index. Keys that it does
        not hold are of no effect.
    batches, folder, memory_bytes
        As for `build_index`; a key of a new document may be among the removed ones.

    Raises
    ------
    InputError
        If the old index is damaged, or two documents with equal bands have the same key.
    UsageError
        If ``folder`` is the old one.
    """
    if folder.resolve() == old_folder.resolve():
        raise UsageError(
            "an index cannot be written over itself", where=folder, fix="choose another folder"
        )
    old = verify_index(old_folder)
    runs = [[old.run(band, removed)] for band in range(BANDS)]
    return _write_index(runs, batches, folder, memory_bytes)


def open_index(folder: Path) -> BandIndex:
    """Read the head of an index and compare the sizes of its files.

    Raises
    ------
    InputError
        If the index is missing, incomplete, of another format, or its files have other sizes.
    """
    path = folder / HEAD
    fix = "delete this folder and make the index again"
    try:
        head = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            "there is no complete index of bands here", where=folder, fix=fix
        ) from None
    except (ValueError, RecursionError):
        raise InputError("the head of this index cannot be read", where=path, fix=fix) from None
    if not isinstance(head, dict) or any(head.get(k) != v for k, v in PARAMETERS.items()):
        raise InputError("this index was made with other parameters", where=path, fix=fix)
    documents, checksums = head.get("documents"), head.get("checksums")
    if type(documents) is not int or not isinstance(checksums, list) or len(checksums) != BANDS:
        raise InputError("the head of this index is damaged", where=path, fix=fix)
    for band in range(BANDS):
        file = _path(folder, band)
        if not file.is_file() or file.stat().st_size != documents * RECORD_BYTES:
            raise InputError("this file of an index is incomplete", where=file, fix=fix)
    return BandIndex(folder, documents, tuple(map(str, checksums)))


def verify_index(folder: Path) -> BandIndex:
    """Open an index and read all of it to compare checksums.

    Raises
    ------
    InputError
        As `open_index`, and if a file's content is not what was written.
    """
    index = open_index(folder)
    for band, checksum in enumerate(index.checksums):
        with open(_path(folder, band), "rb") as file:
            found = hashlib.file_digest(file, hashlib.blake2b).hexdigest()
        if found != checksum:
            raise InputError(
                "this file of an index is damaged: its checksum differs",
                where=_path(folder, band),
                fix="delete this folder and make the index again",
            )
    return index


def _path(folder: Path, band: int) -> Path:
    return folder / f"band-{band:02}.bin"


def _write_index(
    old: Sequence[Sequence[Run]], batches: Iterable[Batch], folder: Path, memory_bytes: int
) -> BandIndex:
    scratch = folder / SCRATCH
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HEAD).unlink(missing_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    new = _sort_on_disk(batches, scratch, memory_bytes)
    written = [
        _write_band([*old[band], *(run[band] for run in new)], _path(folder, band), memory_bytes)
        for band in range(BANDS)
    ]
    shutil.rmtree(scratch)
    documents = written[0][0]
    checksums = [checksum for _, checksum in written]
    write_json(folder / HEAD, PARAMETERS | {"documents": documents, "checksums": checksums})
    return BandIndex(folder, documents, tuple(checksums))


def _sort_on_disk(batches: Iterable[Batch], scratch: Path, memory_bytes: int) -> list[list[Run]]:
    """Write sorted runs, each of as many documents as fit the memory: runs by file and band."""
    runs = []
    for number, (keys, bands) in enumerate(_fill_memory(batches, memory_bytes)):
        path = scratch / f"{number:05}.bin"
        with naming(path), open(path, "wb") as file:
            for band in range(BANDS):
                file.write(_to_bytes(sort_records(np.stack([bands[band], keys], axis=1))))
        runs.append([Run(path, band * len(keys), len(keys)) for band in range(BANDS)])
    return runs


def _fill_memory(batches: Iterable[Batch], memory_bytes: int) -> Iterator[tuple[Keys, Hashes]]:
    """Yield keys (n,) and bands (14, n) of as many documents as fit, in buffers used again."""
    capacity = max(1, memory_bytes // BYTES_A_DOCUMENT)
    keys = np.empty(capacity, dtype=np.uint64)
    bands = np.empty((BANDS, capacity), dtype=np.uint64)
    filled = 0
    for batch_keys, batch_bands, has_words in batches:
        new_keys, new_bands = batch_keys[has_words], batch_bands[has_words]
        while len(new_keys):
            room = min(capacity - filled, len(new_keys))
            keys[filled : filled + room] = new_keys[:room]
            bands[:, filled : filled + room] = new_bands[:room].T
            new_keys, new_bands = new_keys[room:], new_bands[room:]
            filled += room
            if filled == capacity:
                yield keys, bands
                filled = 0
    if filled:
        yield keys[:filled], bands[:, :filled]


def _write_band(runs: Sequence[Run], path: Path, memory_bytes: int) -> tuple[int, str]:
    """Merge runs into one file: how many records it has, and its checksum."""
    checksum = hashlib.blake2b()
    count = 0
    last = np.empty((0, 2), dtype=np.uint64)
    with atomic_open(path) as file:
        for block in merge(runs, memory_bytes):
            _refuse_repeated(np.concatenate([last, block]))
            data = _to_bytes(block)
            checksum.update(data)
            file.write(data)
            count += len(block)
            last = block[-1:] if len(block) else last
    return count, checksum.hexdigest()


def _refuse_repeated(records: Records) -> None:
    """Refuse equal records, as a batch that is given twice makes them."""
    hashes, keys = records[:, 0], records[:, 1]
    equal = np.flatnonzero(hashes[1:] == hashes[:-1])
    repeated = equal[keys[equal] == keys[equal + 1]]
    if len(repeated):
        raise InputError(
            "two documents of the same content have the same key",
            where=f"document key {keys[repeated[0]]:016x}",
            fix="give each document once, with a key of its own",
        )


def _to_bytes(records: Records) -> memoryview:
    return np.ascontiguousarray(records, dtype="<u8").reshape(-1).view(np.uint8).data
