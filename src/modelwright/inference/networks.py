"""Which form a model is run in: as it is, or through the compiled kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from modelwright.core.errors import UsageError
from modelwright.inference.kv_cache import KVCache
from modelwright.inference.model_runner import Network
from modelwright.inference.pytorch_network import PyTorchNetwork
from modelwright.models.adapters.attach import base_of
from modelwright.models.adapters.lora_linear import LoraLinear
from modelwright.models.transformer import CausalLM

if TYPE_CHECKING:
    from modelwright.inference.packed_weights import WeightFormat

WeightChoice = Literal["model", "auto", "float32", "bfloat16", "int8", "int4"]
"""``model``: plain PyTorch. ``auto``: the kernels with weights exactly as they were saved, where
they can run the model, and else plain PyTorch. The others: the kernels, with rounded weights."""

MAX_WIDTH = 32_768
"""Of what is multiplied: longer sums might not fit into 32 bits (``kernels/tiles.py``)."""

PROJECTIONS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
"""A layer's matrices, in the order of ``kernels/forward.py``."""


def make_network(model: CausalLM, cache: KVCache, weights: WeightChoice) -> Network:
    """Bring a model into the form in which it is to be run, on as many threads as torch uses.

    Raises
    ------
    UsageError
        If the kernels are asked for and cannot run this model.
    """
    reason = why_no_kernels(model)
    if weights == "model" or (weights == "auto" and reason is not None):
        return PyTorchNetwork(model, cache)
    if reason is not None:
        raise UsageError(
            f"weights in {weights} need the CPU kernels, which cannot run this model: {reason}",
            fix="leave out --weights",
        )
    from modelwright.inference.kernel_network import KernelNetwork  # Numba takes a second to load

    chosen = _as_saved(model) if weights == "auto" else weights
    return KernelNetwork(model, cache, chosen, torch.get_num_threads())


def why_no_kernels(model: CausalLM) -> str | None:
    """Why the kernels cannot run a model; None if they can."""
    config = model.config
    queries = config.num_attention_heads * config.head_dim
    widths = (config.hidden_size, config.intermediate_size, queries)
    if model.model.embed_tokens.weight.device.type != "cpu":
        return "it is not on the CPU"
    if config.norm != "rms" or config.positions != "rotary" or config.feed_forward != "swiglu":
        return f"its layers are of the family {config.family}"
    if config.attention_bias or config.feed_forward_bias:
        return "its projections have biases"
    if any(width % 32 for width in widths) or config.head_dim % 16:
        return "its widths are no multiples of 32, or its heads' none of 16"
    if max(widths) > MAX_WIDTH:
        return f"it is wider than {MAX_WIDTH}"
    if not all(type(base_layer(module)) is torch.nn.Linear for module in projections(model)):
        return "its projections are quantized"
    return None


def projections(model: CausalLM) -> list[torch.nn.Module]:
    """All projections of all layers, in order; adapted ones with their adapters."""
    return [layer.get_submodule(name) for layer in model.model.layers for name in PROJECTIONS]


def base_layer(projection: torch.nn.Module) -> torch.nn.Module:
    """A projection without adapters."""
    return base_of(projection) if isinstance(projection, LoraLinear) else projection


def _as_saved(model: CausalLM) -> WeightFormat:
    """bfloat16 if all weights are such numbers, as those of a folder saved in it are."""
    matrices = [base_layer(module).get_parameter("weight") for module in projections(model)]
    return "bfloat16" if all(map(_is_bfloat16, [*matrices, model.lm_head.weight])) else "float32"


def _is_bfloat16(weight: Tensor) -> bool:
    # The lower half of the bits, one matrix at a time so that no copy of the model is made.
    return weight.dtype == torch.bfloat16 or not bool(
        (weight.detach().float().view(torch.int32) & 0xFFFF).any()
    )
