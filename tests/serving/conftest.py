import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from openai import OpenAI
from running_server import CONTEXT, NAME, Script, Server, openai_client, running, widened

from modelwright.inference.engine import Engine
from modelwright.models.config import TransformerConfig
from modelwright.models.pretrained import load_model, save_model
from modelwright.models.transformer import CausalLM
from modelwright.tokens.train import train_tokenizer


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Threads that wait for each other are slower than one, on tensors as small as here."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights."""
    folder = tmp_path_factory.mktemp("served") / NAME
    folder.mkdir()
    tokenizer = train_tokenizer(["The quick brown fox. नमस्ते 世界 👩‍👩‍👧‍👦"] * 9, 320, folder)
    config = TransformerConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        eos_token_id=tokenizer.message_end,
    )
    model = CausalLM(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.15)
    save_model(model, folder)
    return folder


@pytest.fixture(scope="session")
def other_folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tokenizer with other weights."""
    folder = tmp_path_factory.mktemp("other") / "other"
    shutil.copytree(model_folder, folder)
    model = load_model(folder, torch.device("cpu"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.flip(0))
    save_model(model, folder)
    return folder


@pytest.fixture(scope="session")
def server(model_folder: Path) -> Iterator[Server]:
    with running(Engine.load(model_folder, max_sequences=4)) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[OpenAI]:
    with openai_client(server) as client:
        yield client


@pytest.fixture
def scripted(model_folder: Path) -> Callable[..., tuple[Engine, Script]]:
    """An engine that says what it is told to."""

    def make(
        text: str, seconds_per_step: float = 0.0, max_sequences: int = 4
    ) -> tuple[Engine, Script]:
        engine = Engine.load(model_folder, max_sequences=max_sequences)
        script = Script(engine, text, seconds_per_step)
        engine.runner.run = script.run  # type: ignore[method-assign]
        return engine, script

    return make


@pytest.fixture(scope="session")
def wide_server(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With room for definitions of tools."""
    with running(Engine.load(widened(model_folder, tmp_path_factory.mktemp("wide")))) as server:
        yield server


@pytest.fixture
def says(model_folder: Path, tmp_path: Path) -> Callable[[str], Engine]:
    """An engine with room that says what it is told to."""
    folder = widened(model_folder, tmp_path)

    def make(text: str) -> Engine:
        engine = Engine.load(folder)
        engine.runner.run = Script(engine, text).run  # type: ignore[method-assign]
        return engine

    return make
