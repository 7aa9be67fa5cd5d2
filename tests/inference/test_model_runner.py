"""Prefill and decoding through the cache against whole forward passes, for several shapes."""

from typing import Any

import pytest
import torch

from modelwright.inference.block_manager import BlockManager
from modelwright.inference.kv_cache import KVCache
from modelwright.inference.model_runner import ModelRunner
from modelwright.inference.pytorch_network import PyTorchNetwork
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.scheduler import Scheduler
from modelwright.inference.sequence import Sequence
from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import in_family
from modelwright.models.transformer import CausalLM

SIZES = TransformerConfig(
    vocab_size=64,
    hidden_size=48,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=4,
    head_dim=12,
    max_position_embeddings=96,
)
WINDOWS: dict[str, Any] = {"sliding_window": 6, "sliding_layers": (1, 2)}
SHAPES = {
    "windows": TransformerConfig(**{**vars(SIZES), **WINDOWS}),
    "llama": in_family("llama", SIZES),
    "gpt2": in_family("gpt2", SIZES),
}


def randomised(config: TransformerConfig) -> CausalLM:
    model = CausalLM(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def scheduled(texts: list[list[int]], step_tokens: int) -> Scheduler:
    scheduler = Scheduler(BlockManager(30), len(texts), step_tokens)
    for text in texts:
        scheduler.add(Sequence(text, SamplingParams(max_tokens=60), torch.Generator()))
    return scheduler


@pytest.mark.parametrize("step_tokens", [100, 9])
@pytest.mark.parametrize("name", SHAPES)
@torch.inference_mode()
def test_steps_past_the_window_equal_the_whole_pass(name: str, step_tokens: int) -> None:
    model = randomised(SHAPES[name])
    generator = torch.Generator().manual_seed(4)
    texts = torch.randint(64, (3, 80), generator=generator).tolist()
    starts = (4, 21, 1)  # shorter and longer than the window
    scheduler = scheduled(
        [text[:start] for text, start in zip(texts, starts, strict=True)], step_tokens
    )
    text_of = dict(zip(scheduler.waiting, texts, strict=True))
    cache = KVCache(model.config, 30, torch.device("cpu"), torch.float32)
    runner = ModelRunner(PyTorchNetwork(model, cache), model.config.vocab_size)
    for _ in range(50):
        parts = scheduler.schedule()
        logits = iter(runner.run(parts))
        for part in parts:
            sequence = part.sequence
            sequence.computed = part.end
            if part.is_last:
                text = text_of[sequence]
                assert sequence.tokens == text[: sequence.length]
                expected = model(torch.tensor([sequence.tokens]))[0, -1]
                assert torch.allclose(next(logits), expected, atol=1e-4)
                sequence.append(text[sequence.length], b"")
        assert next(logits, None) is None
    assert all(sequence.length > 40 for sequence in text_of)


def test_the_windows_hide_something() -> None:
    tokens = torch.arange(40)[None]
    windows = randomised(SHAPES["windows"])
    full = randomised(SIZES)
    with torch.inference_mode():
        differences = (windows(tokens) - full(tokens)).abs().amax(dim=(0, 2))
    assert differences[:6].max() < 1e-4 < 1e-1 < differences[6:].max()
