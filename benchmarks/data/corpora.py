"""The corpus of the benchmarks: novels, proposals, manual pages, speeches and articles, in English.

Texts of more than 8,000 characters are cut at blank lines, so that documents are as long as those
of the web. The order takes one document of each folder in turn, each folder's by a hash.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from itertools import chain, islice, zip_longest
from pathlib import Path

LONGEST = 8000

_FILES = {
    "english_novels": "novels-*.jsonl.gz",
    "python_peps": "peps.jsonl.gz",
    "tldr_pages": "pages_en.jsonl.gz",
    "us_speeches": "speeches.jsonl.gz",
    "wikitext2": "valid.txt.gz",
}


def benchmark_corpus(shared: Path, documents: int | None = None) -> list[str]:
    """Texts of the five folders below `shared`, the first `documents` of a fixed order."""
    return [text for _, text in labelled_corpus(shared, documents)]


def labelled_corpus(shared: Path, documents: int | None = None) -> list[tuple[str, str]]:
    """Pairs of folder and text, in the same order."""
    columns = [
        [(folder, text) for text in sorted(set(_documents(shared / folder, pattern)), key=_hash)]
        for folder, pattern in _FILES.items()
    ]
    rows = chain.from_iterable(zip_longest(*columns))
    return list(islice((one for one in rows if one), documents))


def _documents(folder: Path, pattern: str) -> Iterator[str]:
    for path in sorted(folder.glob(pattern)):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            if path.name.endswith(".txt.gz"):
                # Only the title of an article has one "=" on each side.
                texts = re.split(r"(?m)^(?= = [^=])", file.read())
            else:
                texts = [str(json.loads(line)["text"]) for line in file]
        for text in texts:
            yield from _passages(text)


def _passages(text: str) -> Iterator[str]:
    """Cut a long text at blank lines."""
    parts: list[str] = []
    size = 0
    for paragraph in re.split(r"\n(?:[ \t]*\n)+", text):
        if size + len(paragraph) > LONGEST and parts:
            yield "\n\n".join(parts)
            parts, size = [], 0
        parts.append(paragraph)
        size += len(paragraph)
    if any(part.strip() for part in parts):
        yield "\n\n".join(parts)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
