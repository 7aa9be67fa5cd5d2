"""A model folder in ``transformers``: the same token ids and the same logits as here.

python benchmarks/parity.py MODEL_FOLDER [FOLDER_WITH_UDHR]

Takes 10,000 strings: lines of the Universal Declaration of Human Rights in 380 languages where that
data is given, and random Unicode for the rest. Exit code 1 if any id differs or any logit by 1e-4.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from modelwright.models.pretrained import load_model
from modelwright.tokens.tokenizer import Tokenizer

STRINGS = 10_000
LOGIT_STRINGS = 200
TOLERANCE = 1e-4


def main() -> int:
    """Compare and print; returns the exit code."""
    folder = Path(sys.argv[1])
    texts = declaration(Path(sys.argv[2])) if len(sys.argv) > 2 else []
    print(f"{min(len(texts), STRINGS // 2):,} lines of the declaration, the rest random Unicode")
    texts = texts[: STRINGS // 2]
    texts += random_texts(STRINGS - len(texts))
    theirs, ours = AutoTokenizer.from_pretrained(folder), Tokenizer.load(folder)
    different = sum(
        theirs.encode(text, add_special_tokens=False) != ours.encode(text) for text in texts
    )
    lost = sum(ours.decode(ours.encode(text)) != text for text in texts)
    print(f"token ids: {different} of {len(texts):,} strings differ; {lost} do not come back")
    worst = worst_logit(folder, [ours.encode(text) for text in texts])
    print(f"logits: largest difference {worst:.2e} on {LOGIT_STRINGS} strings in float32")
    return int(different > 0 or lost > 0 or not worst <= TOLERANCE)


def worst_logit(folder: Path, sequences: list[list[int]]) -> float:
    """Largest absolute difference of any logit on a spread of the sequences."""
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ours = load_model(folder)
    context = ours.config.max_position_embeddings
    worst = torch.tensor(0.0)  # a tensor, because max() of floats would pass over nan
    with torch.inference_mode():
        for ids in sequences[:: len(sequences) // LOGIT_STRINGS]:
            tokens = torch.tensor([ids[:context] or [0]])
            worst = torch.maximum(worst, (theirs(tokens).logits - ours(tokens)).abs().max())
    return float(worst)


def declaration(folder: Path) -> list[str]:
    """Lines of the declaration, evenly over the languages."""
    (path,) = folder.glob("*.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        texts = [str(json.loads(line)["text"]) for line in file]
    return texts[:: max(1, len(texts) // (STRINGS // 2))]


def random_texts(count: int) -> list[str]:
    """Random strings with every kind of character that UTF-8 can hold."""
    dice = random.Random(0)
    blocks = [(0x20, 0x7F), (0, 0x20), (0xA0, 0x250), (0x400, 0x500), (0x900, 0x980)]
    blocks += [(0x4E00, 0x5000), (0x1F300, 0x1F700), (0xE000, 0xE100), (0x20, 0x40)]

    def text() -> str:
        spans = [dice.choice(blocks) for _ in range(dice.randrange(1, 12))]
        return "".join(chr(dice.randrange(*span)) for span in spans for _ in range(5))

    return [text() for _ in range(count)]


if __name__ == "__main__":
    sys.exit(main())
