"""The blocks of a model in few bits, as a frozen base for adapters, and back."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from modelwright.core.errors import InputError
from modelwright.models.module_tree import is_in_block, replace_module
from modelwright.models.quantization.int8 import Int8Linear
from modelwright.models.quantization.linear import QuantizedLinear
from modelwright.models.quantization.nf4_linear import NF4Linear

Format = Literal["nf4", "int8"]


def quantize_base(model: nn.Module, form: Format, double: bool = True) -> int:
    """Rewrite the linear layers of the blocks; returns how many.

    Embeddings, norms and the head stay as they are: they are a small part, and rounding them does
    most harm. Layers are rewritten one by one, so that memory never holds two whole models.

    Parameters
    ----------
    model : nn.Module
        Changed in place; without adapters.
    form : {"nf4", "int8"}
        The format of the weights.
    double : bool
        Whether NF4's scales are quantized as well.

    Raises
    ------
    InputError
        If the model has adapters.
    """
    layers = [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and is_in_block(name)
    ]
    for name, _ in layers:
        if ".base_layer" in name:
            raise InputError(
                "the base of an adapter that is already there cannot be quantized any more",
                where=name,
                fix="quantize the model first, then add adapters",
            )
    for name, layer in layers:
        new = NF4Linear.of(layer, double) if form == "nf4" else Int8Linear.of(layer)
        replace_module(model, name, new.train(layer.training))
    return len(layers)


def dequantized(layer: QuantizedLinear) -> nn.Linear:
    """The ordinary layer of the weights that are kept, in float32; takes over the bias."""
    return linear_of(layer.dequantize(), layer.bias)


def linear_of(weight: torch.Tensor, bias: nn.Parameter | None) -> nn.Linear:
    """A linear layer of a weight (out, in) and a bias (out,)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight)
    layer.bias = bias  # type: ignore[assignment]  # declared without None
    return layer
