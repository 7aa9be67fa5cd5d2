"""A tiny model with its tokenizer, a corpus and questions, all made up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from modelwright.core.artifact import Artifact, open_artifact
from modelwright.core.files import write_text
from modelwright.data.corpus import CorpusWriter, new_document
from modelwright.inference.engine import Engine
from modelwright.models.config import TransformerConfig
from modelwright.models.pretrained import save_model
from modelwright.models.transformer import CausalLM, initialise
from modelwright.tokens.files import TOKENIZER_FILES
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.tokens.train import train_tokenizer

TEXTS = [
    f"The function number {index} of module m{index % 7} returns the value of its argument, "
    f"raised to the power {index * index}. If the argument is naïve, nothing is returned.\n" * 3
    for index in range(60)
]


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(TEXTS, 384, folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> Tokenizer:
    return Tokenizer.load(tokenizer_folder)


@pytest.fixture(scope="session")
def config(tokenizer: Tokenizer) -> TransformerConfig:
    return TransformerConfig(
        vocab_size=384,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=64,
        eos_token_id=tokenizer.message_end,
        pad_token_id=tokenizer.end_of_text,
    )


def random_model(config: TransformerConfig, seed: int) -> CausalLM:
    """A model whose every matrix is random, so that context matters to it."""
    model = CausalLM(config)
    initialise(model, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


@pytest.fixture(scope="session")
def engine(config: TransformerConfig, tokenizer: Tokenizer) -> Engine:
    return Engine(random_model(config, 1), tokenizer)


def model_folder(folder: Path, config: TransformerConfig, seed: int, tokenizer: Path) -> Artifact:
    folder.mkdir()
    save_model(random_model(config, seed), folder)
    for name in TOKENIZER_FILES:
        (folder / name).write_bytes((tokenizer / name).read_bytes())
    return open_artifact(folder, "model")


@pytest.fixture
def models(
    tmp_path: Path, config: TransformerConfig, tokenizer_folder: Path
) -> tuple[Artifact, Artifact]:
    """Before and after fine-tuning."""
    return (
        model_folder(tmp_path / "base", config, 1, tokenizer_folder),
        model_folder(tmp_path / "final", config, 2, tokenizer_folder),
    )


def corpus_folder(folder: Path, validation: int) -> Artifact:
    folder.mkdir()
    with CorpusWriter(folder) as writer:
        for index, text in enumerate(TEXTS):
            document = new_document(
                text, source="made-up", url=f"text-{index}", title="", licence="CC0-1.0"
            )
            split = "validation" if index < validation else "train"
            writer.write(replace(document, split=split))
    return open_artifact(folder, "corpus")


@pytest.fixture
def corpus(tmp_path: Path) -> Artifact:
    return corpus_folder(tmp_path / "corpus", validation=6)


@pytest.fixture
def corpus_without_validation(tmp_path: Path) -> Artifact:
    return corpus_folder(tmp_path / "small", validation=0)


@pytest.fixture
def examples(tmp_path: Path) -> Artifact:
    folder = tmp_path / "examples"
    folder.mkdir()
    rows: list[dict[str, object]] = [
        {
            "messages": [
                {"role": "user", "content": f"What is m.f{index}?"},
                {"role": "assistant", "content": f"m.f{index} is function number {index}."},
            ],
            "object": f"m.f{index}",
        }
        for index in range(12)
    ]
    rows.append({"prompt": "The function number", "completion": " 5", "object": None})
    rows.append({"prompt": "very long " * 100, "completion": "too long"})
    write_text(folder / "heldout.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return open_artifact(folder, "examples")
