"""What a file is, by the end of its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Final, Literal

Format = Literal[
    "text", "markdown", "restructured", "code",
    "page", "pdf", "epub", "word", "notebook",
    "jsonl", "json", "csv", "tsv", "parquet",
]  # fmt: skip
Container = Literal["zip", "tar"]
Compression = Literal["gzip", "zstd", "bzip2", "xz"]

FORMATS: Final[dict[str, Format]] = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".rst": "restructured",
    ".html": "page",
    ".htm": "page",
    ".xhtml": "page",
    ".pdf": "pdf",
    ".epub": "epub",
    ".docx": "word",
    ".ipynb": "notebook",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
CONTAINERS: Final[dict[str, Container]] = {".zip": "zip", ".tar": "tar"}
COMPRESSIONS: Final[dict[str, Compression]] = {
    ".gz": "gzip",
    ".zst": "zstd",
    ".bz2": "bzip2",
    ".xz": "xz",
}
_SHORT = {".tgz": ".gz", ".tbz2": ".bz2", ".tbz": ".bz2", ".txz": ".xz", ".tzst": ".zst"}

_CODE = """
.ada .adb .ads .asm .awk .bas .bash .bat .c .cc .clj .cljs .cmake .coffee .cpp .cr .cs .css
.cu .cuh .cxx .d .dart .diff .el .elm .erl .ex .exs .f .f03 .f77 .f90 .f95 .fish .for .fs .fsx
.gleam .glsl .go .gradle .graphql .groovy .h .hcl .hh .hpp .hrl .hs .hx .hxx .idr .inl .java
.jl .js .jsx .kt .kts .lean .less .lisp .lua .m .mjs .ml .mli .mm .mojo .nim .nix .pas .patch
.php .pl .pm .pp .prolog .proto .ps1 .purs .py .pyi .pyx .pxd .r .rb .rkt .rs .s .sass .scala
.scm .scss .sh .sol .sql .st .sv .svelte .swift .tcl .tex .tf .toml .ts .tsx .v .vala .vb .vhd
.vhdl .vim .vue .wat .wgsl .yaml .yml .zig .zsh
"""
CODE: Final = frozenset(_CODE.split())
"""Ends of the names of source code in common use."""

ROW_FORMATS: Final = frozenset({"jsonl", "json", "csv", "tsv", "parquet"})
"""Formats in which a file holds many documents."""

NOT_WANTED = "left out by 'include' or 'exclude'"


@dataclass(frozen=True)
class FileType:
    """What a file's name promises.

    Attributes
    ----------
    format : str or None
        Its format after decompression; None for containers and what is not known.
    container : {"zip", "tar"} or None
        If it holds other files.
    compression : str or None
        What it must be decompressed with first.
    suffix : str
        The end of its name that says so, in lower case; "" if it has none.
    stem : str
        Its name without that end and without folders.
    """

    format: Format | None
    container: Container | None
    compression: Compression | None
    suffix: str
    stem: str


def file_type(name: str) -> FileType:
    """What a file is by its name, in any case; compressed once at most."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if suffix in _SHORT:
        compression = COMPRESSIONS[_SHORT[suffix]]
        return FileType(None, "tar", compression, suffix, path.stem)
    if suffix in COMPRESSIONS:
        inner = PurePosixPath(path.stem)
        end = inner.suffix.lower()
        container: Container | None = "tar" if end == ".tar" else None
        return FileType(_format(end), container, COMPRESSIONS[suffix], f"{end}{suffix}", inner.stem)
    return FileType(_format(suffix), CONTAINERS.get(suffix), None, suffix, path.stem)


def type_in_words(kind: FileType) -> str:
    """Why a file of an unknown type is left out; odd endings are counted together."""
    plain = re.fullmatch(r"(\.[a-z0-9]{1,10}){1,2}", kind.suffix, re.ASCII)
    return f"unknown file type: {kind.suffix if plain else 'no extension'}"


def is_wanted(name: str, include: list[str], exclude: list[str]) -> bool:
    """Whether a name passes the user's patterns.

    A pattern without a slash is compared with the last part of the name, one with a slash with the
    whole; ``*`` stands for anything, slashes too.
    """
    return (not include or is_matched(name, include)) and not is_matched(name, exclude)


def is_matched(name: str, patterns: list[str]) -> bool:
    """Whether one of the patterns fits a name."""
    last = name.rpartition("/")[2]
    return any(fnmatchcase(name if "/" in pattern else last, pattern) for pattern in patterns)


def _format(suffix: str) -> Format | None:
    return "code" if suffix in CODE else FORMATS.get(suffix)
