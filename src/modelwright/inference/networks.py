"""Which form a model is run in: as it is, or through the compiled kernels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from modelwright.core.errors import UsageError
from modelwright.inference.kv_cache import KVCache
from modelwright.inference.model_runner import Network
from modelwright.inference.pytorch_network import PyTorchNetwork
from modelwright.inference.static_network import StaticNetwork
from modelwright.models.adapters.attach import active_adapter, base_of
from modelwright.models.adapters.lora_linear import LoraLinear
from modelwright.models.pretrained import load_model
from modelwright.models.quantization.int4 import Int4Linear
from modelwright.models.quantization.int8 import Int8Linear
from modelwright.models.quantization.linear import QuantizedLinear
from modelwright.models.transformer import CausalLM

if TYPE_CHECKING:
    from modelwright.inference.packed_weights import WeightFormat

WeightChoice = Literal["model", "auto", "float32", "bfloat16", "int8", "int4"]
"""``model``: plain PyTorch. ``auto``: the kernels with weights exactly as they were saved, where
they can run the model, and else plain PyTorch. The others: the kernels, with rounded weights."""

MAX_WIDTH, GROUP = 32_768, 32
"""Of what is multiplied: longer sums might not fit into 32 bits; and how many weights in int4 share
a scale (``kernels/tiles.py``)."""

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


def load_to_run(folder: Path, device: torch.device) -> CausalLM:
    """Open a model's folder; in bfloat16 on CUDA, in float32 elsewhere."""
    model = load_model(folder, device)
    if device.type == "cuda":
        # Parameters only: the rotary tables lose far positions in bfloat16.
        for parameter in model.parameters():
            parameter.data = parameter.data.bfloat16()
    return model


def make_network(
    model: CausalLM, cache: KVCache, weights: WeightChoice, static_rows: int | None = None
) -> Network:
    """Bring a model into the form in which it is to be run, on as many threads as torch uses.

    With ``static_rows``, plain PyTorch runs steps of one token a sequence in fixed shapes, for up
    to so many sequences.

    Raises
    ------
    UsageError
        If the kernels are asked for and cannot run this model.
    """
    reason = None if weights == "model" else why_no_kernels(model)
    if cache.keys.dtype == torch.int8 and (weights == "model" or reason is not None):
        raise UsageError(
            "a cache in int8 needs the CPU kernels, which "
            + ("were not asked for" if reason is None else f"cannot run this model: {reason}"),
            fix="leave out " + ("--weights model" if reason is None else "--cache-format"),
        )
    if weights == "model" or (weights == "auto" and reason is not None):
        if static_rows is not None:
            return StaticNetwork(model, cache, static_rows)
        return PyTorchNetwork(model, cache)
    if reason is not None:
        raise UsageError(
            f"weights in {weights} need the CPU kernels, which cannot run this model: {reason}",
            fix="leave out --weights",
        )
    is_rounded = any(isinstance(base_layer(one), QuantizedLinear) for one in projections(model))
    if is_rounded and weights != "auto":
        raise UsageError(
            f"the model's weights are compressed already, and cannot be brought into {weights}",
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
    weight = model.model.embed_tokens.weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return "it is not on the CPU in float32"
    if active_adapter(model) is not None:
        return "an adapter is on"
    if config.norm != "rms" or config.positions != "rotary" or config.feed_forward != "swiglu":
        return f"its layers are of the family {config.family}"
    if config.attention_bias or config.feed_forward_bias:
        return "its projections have biases"
    if any(width % 32 for width in widths) or config.head_dim % 16:
        return "its widths are no multiples of 32, or its heads' none of 16"
    if max(widths) > MAX_WIDTH:
        return f"it is wider than {MAX_WIDTH}"
    reasons = map(_why_unreadable, [*map(base_layer, projections(model)), model.lm_head])
    return next(filter(None, reasons), None)


def projections(model: CausalLM) -> list[nn.Module]:
    """All projections of all layers, in order; adapted ones with their adapters."""
    return [layer.get_submodule(name) for layer in model.model.layers for name in PROJECTIONS]


def base_layer(projection: nn.Module) -> nn.Module:
    """A projection without adapters."""
    return base_of(projection) if isinstance(projection, LoraLinear) else projection


def _why_unreadable(layer: nn.Module) -> str | None:
    """Why the kernels cannot read a layer's matrix; None if they can."""
    if type(layer) is nn.Linear:
        return None
    if isinstance(layer, Int8Linear):
        return None if layer.scales.shape[1] == 1 else "its int8 weights are in groups"
    if isinstance(layer, Int4Linear):
        group = layer.in_features // layer.scales.shape[1]
        return None if group % GROUP == 0 else f"its int4 weights are in groups of {group}"
    return f"its projections are of the kind {type(layer).__name__}"


def _as_saved(model: CausalLM) -> WeightFormat:
    """bfloat16 if all weights are such numbers, as those of a folder saved in it are."""
    layers = [*map(base_layer, projections(model)), model.lm_head]
    matrices = [layer.weight for layer in layers if isinstance(layer, nn.Linear)]
    return "bfloat16" if all(map(_is_bfloat16, matrices)) else "float32"


def _is_bfloat16(weight: Tensor) -> bool:
    # The lower half of the bits, one matrix at a time so that no copy of the model is made.
    return not bool((weight.detach().view(torch.int32) & 0xFFFF).any())
