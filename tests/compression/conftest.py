"""A model that was trained a little on real text, with its tokenizer and the corpus."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from modelwright.core.artifact import Artifact, open_artifact
from modelwright.data.corpus import CorpusWriter, new_document
from modelwright.models.config import TransformerConfig
from modelwright.models.pretrained import load_model, save_model
from modelwright.models.transformer import CausalLM, initialise
from modelwright.tokens.files import TOKENIZER_FILES
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.tokens.train import train_tokenizer

CHAPTERS, CHARACTERS = 24, 8_000
STEPS, ROWS, LENGTH = 80, 8, 64


@pytest.fixture(scope="session")
def chapters(shared_data: Path) -> list[str]:
    """The beginnings of chapters of real novels."""
    path = sorted((shared_data / "english_novels").glob("*.jsonl.gz"))[0]
    texts = list[str]()
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            text = json.loads(line)["text"]
            if len(text) > CHARACTERS:
                texts.append(text[:CHARACTERS])
            if len(texts) == CHAPTERS:
                break
    return texts


@pytest.fixture(scope="session")
def corpus(chapters: list[str], tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The chapters as a corpus; every sixth is held out."""
    folder = tmp_path_factory.mktemp("corpus")
    with CorpusWriter(folder) as writer:
        for index, text in enumerate(chapters):
            document = new_document(
                text, source="novels", url=f"chapter-{index}", title="", licence="CC0-1.0"
            )
            split = "train" if index % 6 else "validation"
            writer.write(replace(document, split=split))
    return open_artifact(folder, "corpus")


@pytest.fixture(scope="session")
def model_folder(chapters: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen3 with two query heads a key/value head, trained for some seconds."""
    folder = tmp_path_factory.mktemp("model")
    train_tokenizer(chapters, 512, folder)
    tokenizer = Tokenizer.load(folder)
    config = TransformerConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=LENGTH,
        eos_token_id=tokenizer.message_end,
        pad_token_id=tokenizer.end_of_text,
    )
    model = CausalLM(config)
    initialise(model, seed=1)
    train(model, tokenizer, chapters)
    save_model(model, folder)
    return folder


def train(model: CausalLM, tokenizer: Tokenizer, texts: list[str]) -> None:
    ids = torch.tensor([one for text in texts for one in tokenizer.encode(text)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        starts = torch.randint(len(ids) - LENGTH - 1, (ROWS,), generator=generator)
        rows = torch.stack([ids[start : start + LENGTH + 1] for start in starts.tolist()])
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.fixture
def model(model_folder: Path) -> CausalLM:
    """That model, to be changed."""
    return load_model(model_folder)


@pytest.fixture(scope="session")
def windows(model_folder: Path, chapters: list[str]) -> torch.Tensor:
    """Windows of real text, (N, T)."""
    ids = Tokenizer.load(model_folder).encode("\n".join(chapters[:8]))
    return torch.tensor(ids[: 24 * LENGTH]).view(24, LENGTH)


@pytest.fixture
def model_copy(model_folder: Path, tmp_path: Path) -> Path:
    """The folder of that model, to be changed."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", *TOKENIZER_FILES):
        if (model_folder / name).is_file():
            shutil.copyfile(model_folder / name, folder / name)
    return folder
