"""Choosing what to evaluate on: a sample that is a pure function of the seed."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class TextSample:
    """Texts chosen from a corpus, in its order.

    Attributes
    ----------
    texts : list of str
        The chosen texts; the last one chosen may be cut off to keep to the limit.
    text_bytes : int
        Their size in UTF-8.
    documents_left_out : int
        Documents that were not chosen.
    bytes_cut : int
        Bytes cut off the end of the last one chosen.
    """

    texts: list[str]
    text_bytes: int
    documents_left_out: int
    bytes_cut: int


def rank(seed: int, name: str) -> int:
    """Place of ``name`` in the random order that ``seed`` stands for."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big")


def sample_texts(documents: Iterable[tuple[str, str]], max_bytes: int, seed: int) -> TextSample:
    """Choose documents in random order until they fill ``max_bytes``.

    Parameters
    ----------
    documents : iterable of (id, text)
        Read once; at most ``max_bytes`` and one document are held.
    max_bytes : int
        Size of the sample in UTF-8 bytes; all is taken if there is no more.
    seed : int
        Decides the order.
    """
    chosen: list[tuple[int, int, str, int]] = []  # (-rank, position, text, bytes): a max-heap
    total = seen = 0
    for id, text in documents:
        size = len(text.encode())
        heapq.heappush(chosen, (-rank(seed, id), seen, text, size))
        seen += 1
        total += size
        while total - chosen[0][3] >= max_bytes:
            total -= heapq.heappop(chosen)[3]
    cut = max(0, total - max_bytes)
    if cut:
        last = heapq.heappop(chosen)
        # A character that the limit falls into goes as a whole.
        kept = last[2].encode()[: last[3] - cut].decode(errors="ignore")
        cut = last[3] - len(kept.encode())
        if kept:
            chosen.append((last[0], last[1], kept, len(kept.encode())))
    chosen.sort(key=lambda entry: entry[1])
    return TextSample([entry[2] for entry in chosen], total - cut, seen - len(chosen), cut)


def random_order(count: int, seed: int) -> list[int]:
    """The positions 0 … ``count`` - 1 in the order that ``seed`` stands for."""
    return sorted(range(count), key=lambda position: rank(seed, str(position)))
