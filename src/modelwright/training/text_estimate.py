"""What the dial has to know of a text before it is tokenized: how many tokens, how hard."""

from __future__ import annotations

import tempfile
from pathlib import Path

from modelwright.core.artifact import Artifact
from modelwright.data.corpus import read_texts
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.tokens.train import train_tokenizer
from modelwright.training.forecast import Text, difficulty

SAMPLE_BYTES = 500_000
"""Text that is looked at."""


def estimate_text(corpus: Artifact, vocabulary: int | Tokenizer) -> Text:
    """Look at a sample of the text to learn from; documents are in no particular order.

    Parameters
    ----------
    corpus : Artifact
        With a train split.
    vocabulary : int or Tokenizer
        Size of one that is still to be learnt, or what the text will be tokenized with.
    """
    sample = _sample(corpus)
    tokenizer = vocabulary if isinstance(vocabulary, Tokenizer) else _learnt(sample, vocabulary)
    counts = corpus.manifest.counts
    tokens_per_byte = len(tokenizer.encode(sample.decode())) / max(1, len(sample))
    ends = counts.get("documents_train", 0)  # a token after each document
    tokens = counts.get("bytes_train", 0) * tokens_per_byte + ends
    return Text(max(1.0, tokens), difficulty(sample))


def _sample(corpus: Artifact) -> bytes:
    sample = bytearray()
    for text in read_texts(corpus.path, "train"):
        sample += text.encode()
        if len(sample) >= SAMPLE_BYTES:
            break
    return bytes(sample[:SAMPLE_BYTES]).decode(errors="ignore").encode()


def _learnt(sample: bytes, vocabulary: int) -> Tokenizer:
    """A tokenizer like the one that the whole text will give (of novels 3 % fewer tokens)."""
    with tempfile.TemporaryDirectory() as folder:
        return train_tokenizer([sample.decode()], vocabulary, Path(folder))
