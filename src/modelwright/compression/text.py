"""The training text that calibration and recovery see, as tokens."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from modelwright.core.artifact import Artifact
from modelwright.core.errors import InputError
from modelwright.data.corpus import read_documents
from modelwright.evaluation.selection import sample_texts
from modelwright.tokens.shards import ShardWriter, TokenShards, write_index
from modelwright.tokens.tokenizer import Tokenizer

BYTES_A_TOKEN = 8
"""More than tokens of any language have on average, so that the sample is large enough."""

LEAST_TOKENS = 17


def training_shards(
    corpus: Artifact, tokenizer: Tokenizer, folder: Path, tokens: int, seed: int
) -> TokenShards:
    """Encode a sample of a corpus's training split; all of it where that is little.

    Parameters
    ----------
    corpus : Artifact
        With a column ``split``.
    tokenizer : Tokenizer
        The model's.
    folder : Path
        Where the tokens go.
    tokens : int
        How many are wanted.
    seed : int
        Decides which documents are taken.

    Raises
    ------
    InputError
        If there is hardly any text.
    """
    folder.mkdir(exist_ok=True)
    documents = ((one.id, one.text) for one in read_documents(corpus.path, split="train"))
    sample = sample_texts(documents, tokens * BYTES_A_TOKEN, seed)
    totals = list(ShardWriter(folder, "train", tokenizer, 1 << 24).write(sample.texts))
    if not totals or totals[-1].tokens < LEAST_TOKENS:
        raise InputError(
            "the corpus has no text in its train split to calibrate or train on",
            where=corpus.path,
            fix="give a prepared corpus (column 'split' with 'train' and 'validation')",
        )
    write_index(folder, tokenizer, "", {"train": totals[-1]})
    return TokenShards(folder, "train")


def calibration_windows(shards: TokenShards, count: int, length: int) -> Tensor:
    """Windows that are spread evenly over the tokens, (N, ``length``), int64.

    N is ``count``, or less where there are fewer tokens; so is ``length``.
    """
    length = min(length, shards.tokens)
    there = shards.tokens // length
    count = min(count, there)
    starts = [index * there // count * length for index in range(count)]
    return torch.stack([torch.from_numpy(shards.read(start, length)) for start in starts])
