"""From raw text to shuffled blocks of tokens, as the peers' users do it with tokenizers."""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT = "<|endoftext|>"
TOKENIZER_BYTES = 10e6


def read_texts(folder: Path, megabytes: float) -> list[str]:
    """Documents in a random order, as many as are needed."""
    texts = list[str]()
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines]
    random.Random(0).shuffle(texts)
    return up_to(texts, megabytes * 1e6)


def up_to(texts: list[str], size: float) -> list[str]:
    """The first texts with about so many characters."""
    total = 0
    for number, text in enumerate(texts):
        total += len(text)
        if total >= size:
            return texts[: number + 1]
    return texts


def train_tokenizer(texts: list[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE with GPT-2's splitting."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(up_to(texts, TOKENIZER_BYTES), trainer)
    return tokenizer


def blocks(tokenizer: Tokenizer, texts: list[str], length: int) -> torch.Tensor:
    """All texts behind one another, an end-of-text token before each, cut and shuffled (N, length).

    int64.
    """
    start = tokenizer.token_to_id(END_OF_TEXT)
    ids = list[int]()
    for encoding in tokenizer.encode_batch_fast(texts):
        ids.append(start)
        ids += encoding.ids
    rows = torch.tensor(ids[: len(ids) // length * length]).view(-1, length)
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
