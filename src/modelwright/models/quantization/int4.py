"""A linear layer in int4, two weights a byte."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelwright.core.errors import InputError
from modelwright.models.quantization.integers import INT4, dequantize, quantize
from modelwright.models.quantization.linear import QuantizedLinear

GROUPS = (128, 64, 32)
"""Sizes of groups for which there are kernels elsewhere, the one that takes least memory first."""

_OFFSET = 8
"""Added to integers from -8 to 7, so that they are stored without a sign."""


class Int4Linear(QuantizedLinear):
    """A linear layer in int4: with groups of 128, 4.25 bits a weight.

    Parameters
    ----------
    packed : Tensor
        The weight in steps of its group's scale, plus 8: (out, ⌈in/2⌉), uint8. Of two weights the
        first is in the low four bits.
    scales : Tensor
        (out, groups), float32; the groups are equal parts of a row.
    in_features : int
        Weights in a row, in.
    bias : nn.Parameter, optional
        (out,).
    """

    packed: Tensor
    scales: Tensor

    def __init__(self, packed: Tensor, scales: Tensor, in_features: int, bias: nn.Parameter | None):
        super().__init__((packed.shape[0], in_features), bias)
        self.register_buffer("packed", packed)
        self.register_buffer("scales", scales)

    @classmethod
    def of(cls, layer: nn.Linear, group: int) -> Int4Linear:
        """The layer with its weight rounded; takes over the bias.

        ``group`` is how many weights share a scale, and divides the layer's inputs.
        """
        integers, scales = quantize(layer.weight, INT4, layer.in_features // group)
        return cls.of_integers(integers, scales, layer.bias)

    @classmethod
    def of_integers(cls, integers: Tensor, scales: Tensor, bias: nn.Parameter | None) -> Int4Linear:
        """The layer of integers (out, in), int8, from -8 to 7, and their scales (out, groups)."""
        return cls(pack(integers), scales, integers.shape[1], bias)

    @property
    def integers(self) -> Tensor:
        """The integers one by one, (out, in), int8."""
        return unpack(self.packed, self.in_features)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight (out, in), rounded to ``dtype`` from float32 products."""
        return dequantize(self.integers, self.scales, dtype)


def pack(integers: Tensor) -> Tensor:
    """Integers from -8 to 7, (out, in), int8, as two a byte: (out, ⌈in/2⌉), uint8."""
    codes = (integers + _OFFSET).to(torch.uint8)
    codes = F.pad(codes, (0, codes.shape[1] % 2))
    return codes[:, ::2] | (codes[:, 1::2] << 4)


def unpack(packed: Tensor, width: int) -> Tensor:
    """The integers (out, width), int8, that :func:`pack` packed."""
    codes = torch.stack([packed & 15, packed >> 4], 2).flatten(1)
    return codes[:, :width].to(torch.int8) - _OFFSET


def group_for(widths: Iterable[int], wanted: int | None = None) -> int:
    """How many weights share a scale in layers of so many inputs.

    Parameters
    ----------
    widths : iterable of int
        Inputs of the layers.
    wanted : int, optional
        What is asked for; by default the first of :data:`GROUPS` that divides all widths.

    Raises
    ------
    InputError
        If no size, or not the one asked for, divides all widths.
    """
    widths = sorted(set(widths))
    sizes = GROUPS if wanted is None else (wanted,)
    fitting = [size for size in sizes if all(width % size == 0 for width in widths)]
    if not fitting:
        raise InputError(
            f"groups of {' or '.join(map(str, sizes))} weights do not divide layers of "
            f"{', '.join(map(str, widths))} inputs",
            fix="use groups that do, or int8, which needs none; widths that are multiples of 32 "
            "leave the choice",
        )
    return fitting[0]
