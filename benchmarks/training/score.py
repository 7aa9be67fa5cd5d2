"""Bits per byte of documents under a Hugging Face folder; the same code for every system.

python score.py MODEL_FOLDER TEXTS.jsonl DEVICE

Each document starts from the end-of-text token and every token after it is predicted once, in
windows of the model's own context; from the second window on at least half of it is context only.
The tokenizer must give the text back exactly, so that the bytes are the same for all.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

END_OF_TEXT = "<|endoftext|>"
ROWS = 16


def main() -> None:
    """Score and print JSON."""
    folder, device = Path(sys.argv[1]), sys.argv[3]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device).eval()
    lines = Path(sys.argv[2]).read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    size, tokens = sum(len(text.encode()) for text in texts), 0
    cut = list[tuple[list[int], int]]()
    for text in texts:
        ids = encode(tokenizer, text)
        tokens += len(ids) - 1
        cut += windows(ids, model.config.max_position_embeddings)
    cut.sort(key=lambda window: len(window[0]))
    nats = math.fsum(
        score(model, cut[first : first + ROWS], device) for first in range(0, len(cut), ROWS)
    )
    result = {
        "bits_per_byte": nats / math.log(2) / size,
        "bytes": size,
        "tokens": tokens,
        "documents": len(texts),
        "parameters": model.num_parameters(),
    }
    print(json.dumps(result))


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a document, the end-of-text token before it.

    Raises
    ------
    ValueError
        If the tokenizer loses something.
    """
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    if tokenizer.decode(ids, skip_special_tokens=False) != text:
        raise ValueError("the tokenizer does not give the text back")
    return [tokenizer.token_to_id(END_OF_TEXT), *ids]


def windows(ids: list[int], length: int) -> Iterator[tuple[list[int], int]]:
    """Windows and the index of the first id in them that counts."""
    predicted = 1
    for start in range(0, len(ids), length - length // 2):
        end = min(start + length, len(ids))
        if end > predicted:
            yield ids[start:end], predicted - start
            predicted = end


@torch.no_grad()
def score(model: torch.nn.Module, cut: list[tuple[list[int], int]], device: str) -> float:
    """Nats of all ids that count. Padding stands behind, where causal attention cannot see it."""
    longest = max(len(ids) for ids, _ in cut)
    padded = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in cut], device=device)
    logits = model(padded[:, :-1]).logits
    targets = padded[:, 1:].clone()
    for row, (ids, first) in enumerate(cut):
        targets[row, : first - 1] = -100
        targets[row, len(ids) - 1 :] = -100
    return float(F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"))


if __name__ == "__main__":
    main()
