"""Models of each family to export, small and with random weights, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from modelwright.cli.main import modelwright
from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import in_family
from modelwright.models.pretrained import save_model
from modelwright.models.transformer import CausalLM, initialise
from modelwright.tokens.train import train_tokenizer

TEXT = """The quick brown fox jumps over the lazy dog, 1234 times; it's 56 more than you'd think.
def join(path, *paths):
    return path + "/" + "/".join(paths)
Voix ambiguë d'un cœur qui au zéphyr préfère les jattes de kiwis. 你好，世界 🙂 नमस्ते мир
"""

SPLITTERS = {"qwen3": "qwen2", "llama": "llama-bpe", "gpt2": "gpt-2"}
"""A family with each of the regular expressions that tokenizers are trained with here."""

MakeModel = Callable[..., Path]


def write_model(folder: Path, family: str, **changes: Any) -> Path:
    """A folder as training leaves it, with weights that all matter."""
    folder.mkdir(parents=True)
    tokenizer = train_tokenizer([TEXT] * 20, 512, folder, SPLITTERS[family])
    sizes: dict[str, Any] = {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2 if family == "gpt2" else 1,
        "head_dim": 32,
        "max_position_embeddings": 64,
        "eos_token_id": tokenizer.message_end,
        "pad_token_id": tokenizer.end_of_text,
    }
    model = CausalLM(in_family(family, TransformerConfig(**{**sizes, **changes})))
    initialise(model, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            std = 0.1 if parameter.dim() == 1 else 0.7 * parameter.shape[-1] ** -0.5
            parameter += std * torch.randn(parameter.shape, generator=generator)
    save_model(model.eval(), folder)
    return folder


def run_export(model: Path, out: Path, *more: str) -> dict[str, Any]:
    """Export by the command line; gives the content of ``export.json``."""
    arguments = ["export", str(model), "--out", str(out), *more]
    modelwright.main(arguments, "modelwright", standalone_mode=False)
    content: dict[str, Any] = json.loads((out / "export.json").read_text())
    return content
