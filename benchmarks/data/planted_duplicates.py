"""Passages of public texts with edited copies, and what is true of them: exact Jaccard similarity.

Used by ``duplicates.py`` and ``incremental.py``. Only the standard library and NumPy are needed.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from corpora import benchmark_corpus

BINS = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0001]
SHINGLE_WORDS = 5


@dataclass(frozen=True)
class Planted:
    """Documents in a random order, and which of them are copies.

    Attributes
    ----------
    texts : dict of str to str
        By id.
    pairs : list of (str, str, float)
        Ids of an original and its copy, and their Jaccard similarity.
    """

    texts: dict[str, str]
    pairs: list[tuple[str, str, float]]

    def first(self, count: int) -> Planted:
        """Return the first documents, and the pairs that are among them."""
        texts = dict(list(self.texts.items())[:count])
        return Planted(texts, [pair for pair in self.pairs if {*pair[:2]} <= texts.keys()])


def plant(shared: Path, count: int, seed: int = 0) -> Planted:
    """Take passages of 100 to 500 words, a third of the documents edited copies of others.

    An edit replaces, deletes or inserts one word; their number is chosen so that the Jaccard
    similarities spread over 0.4 to 1. An original and its copy stand next to each other in a
    shuffled list of groups, so that any part of it holds whole pairs.
    """
    dice = random.Random(seed)
    originals = list(passages(shared, dice))
    dice.shuffle(originals)
    originals = originals[: count - count // 3]
    vocabulary = sorted({word for text in originals[:500] for word in text.split()})
    texts, pairs = {}, []
    for number, text in enumerate(originals):
        name = f"original-{number:06}"
        texts[name] = text
        if number < count // 3:
            copy = f"copy-{number:06}"
            texts[copy] = edited(text, dice.uniform(0.4, 1), vocabulary, dice)
            pairs.append((name, copy, jaccard(shingles(text), shingles(texts[copy]))))
    return Planted(in_random_groups(texts, dice), pairs)


def in_random_groups(texts: dict[str, str], dice: random.Random) -> dict[str, str]:
    """Shuffle, but keep each copy behind its original."""
    numbers = sorted({name.split("-")[1] for name in texts})
    dice.shuffle(numbers)
    names = (f"{kind}-{number}" for number in numbers for kind in ("original", "copy"))
    return {name: texts[name] for name in names if name in texts}


def passages(shared: Path, dice: random.Random) -> Iterator[str]:
    """Cut the texts of the benchmarks into passages."""
    for text in benchmark_corpus(shared):
        words = re.findall(r"\S+\s*", text)
        while len(words) >= 100:
            length = dice.randrange(100, 500)
            yield "".join(words[:length])
            words = words[length:]


def edited(text: str, jaccard: float, vocabulary: list[str], dice: random.Random) -> str:
    """Edit words so that about the given part of the 5-grams stays."""
    words = re.findall(r"\S+\s*", text)
    for _ in range(round(len(words) * (1 - jaccard) / (1 + jaccard) / SHINGLE_WORDS)):
        place = dice.randrange(len(words))
        end, more = dice.choice([(place + 1, 1), (place + 1, 0), (place, 1)])
        words[place:end] = [f"{dice.choice(vocabulary)} "] * more
    return "".join(words)


def shingles(text: str) -> set[tuple[str, ...]]:
    """Return the word 5-grams of a text in a plain normalisation that is neither side's own."""
    words = re.findall(r"\w+", text.lower())
    return set(zip(*(words[start:] for start in range(SHINGLE_WORDS)), strict=False))


def jaccard(one: set, other: set) -> float:
    return len(one & other) / max(1, len(one | other))


def nearest_jaccard(texts: dict[str, str], names: set[str]) -> dict[str, float]:
    """For each of the named texts the highest exact Jaccard similarity with any other text."""
    of_text = {name: shingles(text) for name, text in texts.items()}
    order = list(of_text)
    places = np.repeat(np.arange(len(order)), [len(of_text[name]) for name in order])
    hashes = np.array([hash(run) for name in order for run in of_text[name]], dtype=np.int64)
    by_hash = np.argsort(hashes, kind="stable")
    hashes, places = hashes[by_hash], places[by_hash]
    nearest = {}
    for number, name in enumerate(order):
        if name in names:
            own = np.array([hash(run) for run in of_text[name]], dtype=np.int64)
            begins, ends = np.searchsorted(hashes, own), np.searchsorted(hashes, own, "right")
            spans = [places[begin:end] for begin, end in zip(begins, ends, strict=True)]
            found = np.concatenate([places[:0], *spans])
            others = np.unique(found[found != number])
            similar = [jaccard(of_text[name], of_text[order[other]]) for other in others]
            nearest[name] = max(similar, default=0.0)
    return nearest


def by_bin(values: list[tuple[float, bool]]) -> list[str]:
    """Share of True by bin of the similarity, with the number of cases."""
    cells = []
    for low, high in pairwise(BINS):
        hits = [hit for value, hit in values if low <= value < high]
        cells.append(f"{sum(hits) / len(hits):.3f} ({len(hits)})" if hits else "-")
    return cells


def write_jsonl(texts: dict[str, str], path: Path) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for name, text in texts.items():
            file.write(json.dumps({"id": name, "text": text}, ensure_ascii=False) + "\n")
