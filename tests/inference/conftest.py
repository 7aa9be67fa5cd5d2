from pathlib import Path

import pytest
import torch

from modelwright.inference.engine import Engine
from modelwright.models.config import TransformerConfig
from modelwright.models.pretrained import save_model
from modelwright.models.transformer import CausalLM
from modelwright.tokens.train import train_tokenizer

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "नमस्ते दुनिया, 世界你好 👩‍👩‍👧‍👦 naïve café",
    "def add(a, b): return a + b",
] * 20


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Threads that wait for each other are slower than one, on tensors as small as here."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights, so that every layer and position matters."""
    folder = tmp_path_factory.mktemp("tiny-model")
    tokenizer = train_tokenizer(TEXTS, 320, folder)
    config = TransformerConfig(
        vocab_size=384,  # padded beyond the tokenizer, as real models are
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=96,
        eos_token_id=tokenizer.message_end,
    )
    model = CausalLM(config)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.15)
            else:
                parameter.fill_(1.0)
    save_model(model, folder)
    return folder


@pytest.fixture
def engine(model_folder: Path) -> Engine:
    return Engine.load(model_folder, max_sequences=4)
