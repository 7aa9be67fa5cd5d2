"""A linear layer in NF4, as the base of QLoRA."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modelwright.models.quantization import nf4
from modelwright.models.quantization.double_quantization import (
    dequantize_scales,
    dynamic_levels,
    quantize_scales,
)
from modelwright.models.quantization.linear import QuantizedLinear


class NF4Linear(QuantizedLinear):
    """A linear layer in NF4: 4.5 bits a weight, or 4.127 with double quantization.

    Parameters
    ----------
    shape : tuple of int
        Of the weight, (out, in).
    packed : Tensor
        Two levels a byte, (⌈out · in / 2⌉,), uint8.
    absmax : Tensor
        A scale a block, (⌈out · in / 64⌉,): float32, or the uint8 codes of double quantization.
    nested : tuple of Tensor, optional
        Of double quantization: the scales of the scales, (⌈blocks / 256⌉,), and the offset, 0-d,
        both float32.
    bias : nn.Parameter, optional
        (out,).
    """

    packed: Tensor
    absmax: Tensor
    nested_absmax: Tensor | None
    offset: Tensor | None
    byte_pairs: Tensor
    scale_levels: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        packed: Tensor,
        absmax: Tensor,
        nested: tuple[Tensor, Tensor] | None,
        bias: nn.Parameter | None,
    ):
        super().__init__(shape, bias)
        self.register_buffer("packed", packed)
        self.register_buffer("absmax", absmax)
        self.register_buffer("nested_absmax", None if nested is None else nested[0])
        self.register_buffer("offset", None if nested is None else nested[1])
        # Tables of the format, no state: here to move with the layer.
        device = packed.device
        self.register_buffer("byte_pairs", nf4.byte_pairs().to(device), persistent=False)
        self.register_buffer("scale_levels", dynamic_levels().to(device), persistent=False)

    @classmethod
    def of(cls, layer: nn.Linear, double: bool = True) -> NF4Linear:
        """The layer with its weight rounded; takes over the bias."""
        packed, absmax = nf4.quantize(layer.weight)
        shape = layer.weight.shape
        if not double:
            return cls(shape, packed, absmax, None, layer.bias)
        codes, nested_absmax, offset = quantize_scales(absmax)
        return cls(shape, packed, codes, (nested_absmax, offset), layer.bias)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight (out, in), rounded to ``dtype`` from float32 products."""
        absmax = self.absmax
        if self.nested_absmax is not None and self.offset is not None:
            nested = self.nested_absmax, self.offset, self.scale_levels
            absmax = dequantize_scales(absmax, *nested)
        shape = torch.Size((self.out_features, self.in_features))
        return nf4.dequantize(self.packed, absmax, self.byte_pairs, shape, dtype)
