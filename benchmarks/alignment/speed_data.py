"""A random model with its tokenizer, and made-up examples of realistic lengths."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from modelwright.models.config import TransformerConfig
from modelwright.models.pretrained import save_model
from modelwright.models.transformer import CausalLM, initialise
from modelwright.tokens.train import train_tokenizer

VOCABULARY = 4096
CONTEXT = 512
SYLLABLES = [
    a + b for a in "bcdfghklmnprstvwz" for b in ("a", "e", "i", "o", "u", "an", "er", "is")
]
WORDS = [
    "".join(random.Random(number).choices(SYLLABLES, k=1 + number % 4)) for number in range(12_000)
]


def write_model(folder: Path) -> int:
    """Write a model of about 5M parameters, Qwen3's shape, head tied; returns their number."""
    folder.mkdir(parents=True)
    dice = random.Random(0)
    texts = (" ".join(words(dice, 200)) for _ in range(1000))
    tokenizer = train_tokenizer(texts, VOCABULARY, folder)
    if tokenizer.vocabulary_size != VOCABULARY:
        raise ValueError(f"the tokenizer has {tokenizer.vocabulary_size} tokens, not {VOCABULARY}")
    config = TransformerConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        eos_token_id=tokenizer.message_end,
        pad_token_id=tokenizer.end_of_text,
    )
    model = CausalLM(config)
    initialise(model, seed=0)
    save_model(model, folder)
    return config.parameter_count()


def write_examples(folder: Path, conversations: int, others: int) -> None:
    """Write folders ``sft``, ``dpo`` and ``grpo`` below ``folder``."""
    dice = random.Random(1)
    _write(folder / "sft", (conversation(dice) for _ in range(conversations)), held_out=8)
    _write(folder / "dpo", (pair(dice) for _ in range(others)), held_out=8)
    _write(folder / "grpo", (prompt(dice) for _ in range(others)), held_out=8)


def words(dice: random.Random, count: int) -> Iterator[str]:
    """Words of one to four syllables, some of them far more often than others."""
    return (WORDS[int(dice.paretovariate(0.4)) % len(WORDS)] for _ in range(count))


def sentence(dice: random.Random, median: int) -> str:
    """Text whose number of words is drawn from a log-normal distribution."""
    return " ".join(words(dice, max(3, min(int(dice.lognormvariate(0, 0.7) * median), 150))))


def conversation(dice: random.Random) -> dict[str, Any]:
    return {"messages": [_message("user", sentence(dice, 15)), _answer(sentence(dice, 50))]}


def pair(dice: random.Random) -> dict[str, Any]:
    chosen, rejected = ([_answer(sentence(dice, 40))] for _ in range(2))
    return {**prompt(dice), "chosen": chosen, "rejected": rejected}


def prompt(dice: random.Random) -> dict[str, Any]:
    return {"prompt": [_message("user", sentence(dice, 15))]}


def _message(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def _answer(text: str) -> dict[str, str]:
    return _message("assistant", text)


def _write(folder: Path, rows: Iterable[dict[str, Any]], held_out: int) -> None:
    folder.mkdir(parents=True)
    lines = [json.dumps(row) + "\n" for row in rows]
    (folder / "train.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "heldout.jsonl").write_text("".join(lines[:held_out]), encoding="utf-8")
