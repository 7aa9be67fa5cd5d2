"""A linear layer in int8."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modelwright.models.quantization.integers import INT8, dequantize, quantize
from modelwright.models.quantization.linear import QuantizedLinear


class Int8Linear(QuantizedLinear):
    """A linear layer whose weight lies in int8, as rounded here with a scale for each row.

    Parameters
    ----------
    integers : Tensor
        The weight in steps of its group's scale, (out, in), int8.
    scales : Tensor
        (out, groups), float32; the groups are equal parts of a row.
    bias : nn.Parameter, optional
        (out,).
    """

    integers: Tensor
    scales: Tensor

    def __init__(self, integers: Tensor, scales: Tensor, bias: nn.Parameter | None):
        super().__init__(integers.shape, bias)
        self.register_buffer("integers", integers)
        self.register_buffer("scales", scales)

    @classmethod
    def of(cls, layer: nn.Linear) -> Int8Linear:
        """The layer with its weight rounded; takes over the bias."""
        return cls(*quantize(layer.weight, INT8), layer.bias)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight (out, in), rounded to ``dtype`` from float32 products."""
        return dequantize(self.integers, self.scales, dtype)
