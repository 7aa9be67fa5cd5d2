"""Evaluation sets on disk, read as plain texts.

Every string of a row is a text of its own: a question leaks without its answer too, and a row of
choices is rarely quoted in the order of the file.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import polars as pl

from modelwright.core.errors import InputError, UsageError
from modelwright.data.decoding import decode
from modelwright.data.jsonl import MAX_BYTES, TOO_LARGE, lines_of

GZIP = ".gz"


def set_names(paths: Sequence[Path]) -> list[str]:
    """Name evaluation sets by the ends of their paths, as short as keeps them apart.

    Raises
    ------
    UsageError
        If one is listed twice.
    """
    parts = [path.resolve().parts for path in paths]
    if len(set(parts)) < len(parts):
        raise UsageError("an evaluation set is listed twice", fix="list each once")
    depth = 1
    while len({one[-depth:] for one in parts}) < len(parts):
        depth += 1
    return ["/".join(one[-depth:]) for one in parts]


def evaluation_texts(path: Path) -> Iterator[str]:
    """Yield every string in a file, or in the files of a folder in the order of their names.

    In ``.jsonl``, ``.json`` and ``.parquet`` those are all strings of all rows, however deep;
    a ``.txt`` file is one text. All but Parquet may be compressed (``.gz``). Files of other types
    in a folder are passed over.

    Raises
    ------
    InputError
        If there is no such file, or it cannot be read to its end: what is left out of an
        evaluation set would stay in the corpus unseen.
    """
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    known = [(file, reader) for file in files if (reader := _READERS.get(_suffix(file)))]
    if not known:
        raise InputError(
            "no evaluation set here" if path.exists() else "no such evaluation set",
            where=path,
            fix=f"give a file, or a folder with files, of type {', '.join(_READERS)}",
        )
    for file, reader in known:
        try:
            yield from reader(file)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"cannot read this evaluation set: {error}", where=file) from error


def _suffix(path: Path) -> str:
    name = path.name.lower()
    plain = name.removesuffix(GZIP)
    suffix = Path(plain).suffix
    return "" if suffix == ".parquet" and plain != name else suffix


def _open(path: Path) -> io.BufferedReader:
    if path.name.lower().endswith(GZIP):
        return io.BufferedReader(cast(io.RawIOBase, gzip.open(path)))
    return open(path, "rb")


def _json_lines(path: Path) -> Iterator[str]:
    with _open(path) as file:
        for line in lines_of(file):
            where = f"{path}:{line.number}"
            if line.raw is None:
                raise InputError(f"a line {TOO_LARGE}", where=where)
            yield from _json(line.raw, where)


def _json_file(path: Path) -> Iterator[str]:
    yield from _json(_whole(path), str(path))


def _text_file(path: Path) -> Iterator[str]:
    yield decode(_whole(path))[0]


def _parquet(path: Path) -> Iterator[str]:
    try:
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"a broken Parquet file: {error}", where=path) from error
    for row in frame.iter_rows():
        yield from _strings(row)


def _whole(path: Path) -> bytes:
    with _open(path) as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise InputError(f"an evaluation set {TOO_LARGE}", where=path, fix="write it as .jsonl")
    return raw


def _json(raw: bytes, where: str) -> Iterator[str]:
    try:
        yield from _strings(json.loads(raw))
    except (ValueError, RecursionError) as error:
        raise InputError(f"broken JSON: {error}", where=where, fix="correct the file") from error


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value.encode("utf-8", errors="replace").decode()  # no lone surrogates
    elif isinstance(value, Mapping):
        yield from _strings(value.values())
    elif isinstance(value, Iterable) and not isinstance(value, bytes):
        for one in value:
            yield from _strings(one)


_READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    ".jsonl": _json_lines,
    ".json": _json_file,
    ".txt": _text_file,
    ".parquet": _parquet,
}
