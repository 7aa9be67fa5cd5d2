"""A server of our own with a small model of random weights, for the scripts of this folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from modelwright.models.config import TransformerConfig
from modelwright.models.pretrained import save_model
from modelwright.models.transformer import CausalLM
from modelwright.tokens.train import train_tokenizer

NAME = "random"
VOCABULARY = 400
TEXTS = [
    'The quick brown fox. {"name": "Ada", "age": 36, "tags": ["a", "b"], "ok": true, "no": null}',
    "def f(x):\n    return x + 1  # नमस्ते 世界 👩‍👩‍👧‍👦 0123456789",
]


@dataclass(frozen=True)
class Server:
    """A process that serves, and where."""

    process: subprocess.Popen[str]
    address: str


def make_model(folder: Path, context: int = 1024) -> Path:
    """Write a model of about 0.1 million random parameters into a new folder below ``folder``."""
    made = folder / NAME
    made.mkdir()
    tokenizer = train_tokenizer(TEXTS * 9, VOCABULARY, made)
    config = TransformerConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,
        max_position_embeddings=context,
        eos_token_id=tokenizer.message_end,
    )
    model = CausalLM(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.15)
    save_model(model, made)
    return made


@contextmanager
def serving(model: Path, *flags: str, log: Path | None = None) -> Iterator[Server]:
    """``modelwright serve`` in a process of its own; ``log`` takes its standard error."""
    command = [sys.executable, "-m", "modelwright", "serve", str(model), "--port", "0", *flags]
    errors = open(log, "w", encoding="utf-8") if log else subprocess.DEVNULL  # noqa: SIM115
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if " at http" not in line:
                raise SystemExit(f"the server did not start: {line}")
            yield Server(process, line.partition(" at ")[2].split()[0])
        finally:
            process.terminate()
            process.wait(60)
            if not isinstance(errors, int):
                errors.close()
