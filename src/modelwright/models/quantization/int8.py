"""Weights in int8 with a scale a row, the largest of which becomes 127."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modelwright.models.quantization.linear import QuantizedLinear

LARGEST = 127


class Int8Linear(QuantizedLinear):
    """A linear layer whose weight lies in int8.

    Parameters
    ----------
    values : Tensor
        The weight in steps of its row's scale, (out, in), int8.
    scales : Tensor
        (out,), float32.
    bias : nn.Parameter, optional
        (out,).
    """

    values: Tensor
    scales: Tensor

    def __init__(self, values: Tensor, scales: Tensor, bias: nn.Parameter | None):
        super().__init__(values.shape, bias)
        self.register_buffer("values", values)
        self.register_buffer("scales", scales)

    @classmethod
    def of(cls, layer: nn.Linear) -> Int8Linear:
        """The layer with its weight rounded; takes over the bias."""
        return cls(*quantize(layer.weight), layer.bias)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight (out, in), rounded to ``dtype`` from float32 products."""
        return (self.values * self.scales[:, None]).to(dtype)


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round a weight (out, in) to int8 values of that shape and float32 scales (out,).

    A weight that is not finite makes its whole row NaN, so that it is seen.
    """
    rows = weight.detach().float()
    scales = rows.abs().amax(1) / LARGEST
    divisors = scales.masked_fill(scales == 0, 1)  # a row of zeros stays one
    return (rows / divisors[:, None]).round().clamp(-LARGEST, LARGEST).to(torch.int8), scales
