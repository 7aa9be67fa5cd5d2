"""Prefill and decoding through the cache against whole forward passes, for several shapes."""

from typing import Any

import pytest
import torch

from modelwright.inference.model_runner import ModelRunner
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.scheduler import Batch
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


@pytest.mark.parametrize("name", SHAPES)
@torch.inference_mode()
def test_decoding_past_the_window_equals_the_whole_pass(name: str) -> None:
    model = randomised(SHAPES[name])
    generator = torch.Generator().manual_seed(4)
    texts = torch.randint(64, (3, 80), generator=generator).tolist()
    sequences = []
    for slot, start in enumerate((4, 21, 1)):  # shorter and longer than the window
        sequence = Sequence(texts[slot][:start], SamplingParams(max_tokens=60), generator)
        sequence.slot = slot
        sequences.append(sequence)
    runner = ModelRunner(model, slots=3)
    logits = runner.run(Batch(prefill=sequences, decode=[]))
    for _ in range(50):
        for row, sequence in enumerate(sequences):
            text = texts[row][: sequence.length]
            assert torch.allclose(logits[row], model(torch.tensor([text]))[0, -1], atol=1e-4)
            sequence.generated.append(texts[row][sequence.length])
        logits = runner.run(Batch(prefill=[], decode=sequences))


def test_the_windows_hide_something() -> None:
    tokens = torch.arange(40)[None]
    windows = randomised(SHAPES["windows"])
    full = randomised(SIZES)
    with torch.inference_mode():
        differences = (windows(tokens) - full(tokens)).abs().amax(dim=(0, 2))
    assert differences[:6].max() < 1e-4 < 1e-1 < differences[6:].max()
