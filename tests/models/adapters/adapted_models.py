"""Small models and adapters for the tests of this folder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelwright.models.adapters.attach import adapter_parameters
from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import in_family
from modelwright.models.transformer import CausalLM

KINDS = {
    "lora": AdapterConfig(rank=4, alpha=6),
    "rslora": AdapterConfig(rank=4, alpha=3, rs_lora=True),
    "dora": AdapterConfig(rank=4, alpha=6, dora=True),
    "pissa": AdapterConfig(rank=4, alpha=6, initialisation="pissa"),
    "pissa with rslora": AdapterConfig(rank=4, alpha=3, rs_lora=True, initialisation="pissa"),
    "dora with pissa": AdapterConfig(rank=4, alpha=6, dora=True, initialisation="pissa"),
}
"""All that can lie beside a linear layer."""

SIZES = TransformerConfig(
    vocab_size=96,
    hidden_size=48,
    intermediate_size=80,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=12,
    max_position_embeddings=32,
)

TOKENS = torch.randint(0, 96, (3, 20), generator=torch.Generator().manual_seed(5))


def make_model(family: str = "llama", **changes: Any) -> CausalLM:
    """A model with random weights, always the same, in evaluation mode."""
    model = CausalLM(in_family(family, replace(SIZES, **changes)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    add_noise(dict(model.named_parameters()), seed=1, std=0.2)
    return model.eval()


def train(model: nn.Module, name: str = "default", seed: int = 3) -> None:
    """Change an adapter as training would."""
    add_noise(adapter_parameters(model, name), seed, std=0.1)


@torch.no_grad()
def add_noise(parameters: dict[str, nn.Parameter], seed: int, std: float) -> None:
    """Add normal noise to the parameters that are trained."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters.values():
        if parameter.requires_grad:
            parameter += torch.randn(parameter.shape, generator=generator) * std


def loss_of(logits: Tensor) -> Tensor:
    """Mean cross-entropy of the next tokens."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten())


def distance(found: Tensor, expected: Tensor) -> float:
    """Largest difference as a share of the largest value."""
    largest = expected.detach().abs().max().clamp(min=1e-30)
    return float((found - expected).detach().abs().max() / largest)
