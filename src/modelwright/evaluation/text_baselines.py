"""What simple models reach on the same text, in bits per byte: the rivals of a language model."""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

BYTES = 256
START = BYTES
"""The state before a text's first byte."""

SMOOTHING = 0.1
"""Added to each bigram count, so that no byte is impossible."""

XZ_PRESET = 9


def xz_bits_per_byte(texts: Sequence[str]) -> float:
    """Bits per byte of ``xz -9`` on the texts one after another, with nothing learnt before."""
    data = _joined(texts)
    return 8 * _xz_size(data) / len(data)


def primed_xz_bits_per_byte(training_texts: Sequence[str], texts: Sequence[str]) -> float:
    """Bits per byte that the texts add to ``xz -9`` of the training texts.

    This is the honest rival of a trained model: it too has seen the training text, as far as
    the 64 MiB window of the preset reaches back.
    """
    before, data = _joined(training_texts), _joined(texts)
    with ThreadPoolExecutor() as threads:  # compression runs outside Python's lock
        without, together = threads.map(_xz_size, (before, before + data))
    return 8 * (together - without) / len(data)


def bigram_bits_per_byte(training_texts: Sequence[str], texts: Sequence[str]) -> float:
    """Bits per byte of a byte bigram model, trained on some texts and measured on others.

    Every text starts from the same state, as documents do for the language model.
    """
    counts = _bigram_counts(training_texts).astype(np.float64) + SMOOTHING
    bits = np.log2(counts.sum(axis=1, keepdims=True)) - np.log2(counts)
    seen = _bigram_counts(texts)
    return float((seen * bits).sum() / seen.sum())


def _bigram_counts(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """How often each byte (column) follows each byte or the start (row), shape (257, 256)."""
    counts = np.zeros((BYTES + 1) * BYTES, dtype=np.int64)
    for text in texts:
        data = np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64)
        before = np.concatenate([[START], data[:-1]])
        if data.size:
            np.add.at(counts, before * BYTES + data, 1)
    return counts.reshape(BYTES + 1, BYTES)


def _xz_size(data: bytes) -> int:
    return len(lzma.compress(data, preset=XZ_PRESET))


def _joined(texts: Sequence[str]) -> bytes:
    return "".join(texts).encode()
