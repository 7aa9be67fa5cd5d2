"""Shared by all tests: a small corpus, a tokenizer and a model, made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # as the command line does
# Several threads on a busy machine wait for each other; tiny models gain nothing from them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from databases import database_url, postgres_url
from hypothesis import settings

from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM, initialise
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.tokens.train import train_tokenizer

__all__ = ["database_url", "postgres_url"]  # fixtures

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

settings.register_profile("default", deadline=None)  # a busy machine is no failure
settings.load_profile("default")

torch.set_num_threads(1)

TEXT = """The quick brown fox jumps over the lazy dog, 1234 times.
def join(path, *paths):
    '''Join two or more pathname components.'''
    return path + "/" + "/".join(paths)
Voix ambiguë d'un cœur qui au zéphyr préfère les jattes de kiwis. 你好，世界 🙂 नमस्ते
"""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real public data, where it is present."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared test data is not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of 512 tokens."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([TEXT] * 20, 512, folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> Tokenizer:
    """The tokenizer in :func:`tokenizer_folder`."""
    return Tokenizer.load(tokenizer_folder)


@pytest.fixture
def tiny_config() -> TransformerConfig:
    """A shape that runs in milliseconds and still has grouped queries."""
    return TransformerConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=64,
    )


@pytest.fixture
def tiny_model(tiny_config: TransformerConfig) -> CausalLM:
    """A model with random weights in which no projection is zero."""
    model = CausalLM(tiny_config)
    initialise(model, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model.eval()
