"""english_novels, split by book: to learn from, to tune the peers on, to score on."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

TEST_BOOKS, TUNING_BOOKS = 8, 4
TEST_BYTES, TUNING_BYTES = 480_000, 160_000
SMALLEST = 1000
"""Bytes of the shortest chapter that is scored: shorter ones are title pages."""

SEED = 0


def write_split(shared: Path, folder: Path) -> None:
    """Write ``train/novels.jsonl``, ``tuning.jsonl`` and ``test.jsonl`` into a new folder.

    Whole books are held out; of each, whole chapters in a random order as far as its share of the
    bytes goes, so that scoring takes seconds. The same for every run.
    """
    chapters = list(read_chapters(shared))
    books = sorted({chapter["book"] for chapter in chapters})
    held_out = random.Random(SEED).sample(books, TEST_BOOKS + TUNING_BOOKS)
    test, tuning = held_out[:TEST_BOOKS], held_out[TEST_BOOKS:]
    (folder / "train").mkdir(parents=True)
    learnt = [chapter for chapter in chapters if chapter["book"] not in held_out]
    write(folder / "train" / "novels.jsonl", learnt)
    write(folder / "tuning.jsonl", choose(chapters, tuning, TUNING_BYTES))
    write(folder / "test.jsonl", choose(chapters, test, TEST_BYTES))


def read_chapters(shared: Path) -> Iterator[dict[str, str]]:
    """All chapters: ``id``, ``book``, ``text``."""
    for path in sorted((shared / "data" / "english_novels").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                yield {name: record[name] for name in ("id", "book", "text")}


def choose(
    chapters: Sequence[dict[str, str]], books: Sequence[str], total: int
) -> list[dict[str, str]]:
    """Chapters of those books, each book within its share of ``total`` bytes."""
    chosen = []
    for book in books:
        own = [chapter for chapter in chapters if chapter["book"] == book]
        left = total // len(books)
        for chapter in random.Random(SEED).sample(own, len(own)):
            size = len(chapter["text"].encode())
            if SMALLEST <= size <= left:
                chosen.append(chapter)
                left -= size
    return chosen


def write(path: Path, chapters: Sequence[dict[str, str]]) -> None:
    """One JSON object a line."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(chapter, ensure_ascii=False) + "\n" for chapter in chapters)
