"""The blocks of a model in few bits, as a frozen base for adapters, and back."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from modelwright.core.errors import InputError
from modelwright.models.module_tree import is_in_block, replace_module
from modelwright.models.quantization.int4 import Int4Linear, group_for
from modelwright.models.quantization.int8 import Int8Linear
from modelwright.models.quantization.linear import QuantizedLinear
from modelwright.models.quantization.nf4_linear import NF4Linear

Format = Literal["nf4", "int4", "int8"]


def quantize_base(
    model: nn.Module, form: Format, double: bool = True, group: int | None = None
) -> int:
    """Rewrite the linear layers of the blocks; returns how many.

    Embeddings, norms and the head stay as they are: they are a small part, and rounding them does
    most harm. Layers are rewritten one by one, so that memory never holds two whole models.

    Parameters
    ----------
    model : nn.Module
        Changed in place; without adapters.
    form : {"nf4", "int4", "int8"}
        The format of the weights.
    double : bool
        Whether NF4's scales are quantized as well.
    group : int, optional
        Weights that share a scale in int4; by default as :func:`group_for` chooses.

    Raises
    ------
    InputError
        If the model has adapters, or is quantized already, or no group fits its widths.
    """
    if is_quantized(model):
        raise InputError(
            "the model is quantized already",
            fix="leave it as it is, or quantize the model that it was made from",
        )
    layers = linear_layers(model)
    for name, _ in layers:
        if ".base_layer" in name:
            raise InputError(
                "the base of an adapter that is already there cannot be quantized any more",
                where=name,
                fix="quantize the model first, then add adapters",
            )
    if form == "int4":
        group = group_for((layer.in_features for _, layer in layers), group)
    for name, layer in layers:
        new = _quantized(layer, form, double, group)
        replace_module(model, name, new.train(layer.training))
    return len(layers)


def linear_layers(model: nn.Module) -> list[tuple[str, nn.Linear]]:
    """The layers of the blocks that can be quantized, with their names, in the model's order."""
    return [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and is_in_block(name)
    ]


def quantized_layers(model: nn.Module) -> list[tuple[str, QuantizedLinear]]:
    """The layers that lie in few bits, with their names, in the model's order."""
    return [
        (name, layer) for name, layer in model.named_modules() if isinstance(layer, QuantizedLinear)
    ]


def is_quantized(model: nn.Module) -> bool:
    """Whether some layers of a model lie in few bits."""
    return bool(quantized_layers(model))


def dequantized(layer: QuantizedLinear) -> nn.Linear:
    """The ordinary layer of the weights that are kept, in float32; takes over the bias."""
    return linear_of(layer.dequantize(), layer.bias)


def linear_of(weight: torch.Tensor, bias: nn.Parameter | None) -> nn.Linear:
    """A linear layer of a weight (out, in) and a bias (out,)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight)
    layer.bias = bias  # type: ignore[assignment]  # declared without None
    return layer


def _quantized(layer: nn.Linear, form: Format, double: bool, group: int | None) -> QuantizedLinear:
    match form:
        case "nf4":
            return NF4Linear.of(layer, double)
        case "int8":
            return Int8Linear.of(layer)
        case "int4":
            assert group is not None  # it was chosen for all layers
            return Int4Linear.of(layer, group)
