"""Weights as integers: symmetric steps, with a scale for each row or for each group within it.

A group is a run of weights along the input that share a scale; a whole row is one group.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """Which integers there are.

    Attributes
    ----------
    lowest, highest : int
        The range.
    steps : float
        How many steps the largest absolute weight of a group is; where the range is not symmetric,
        the middle of both ends, so that neither is clipped by more than half a step.
    """

    lowest: int
    highest: int
    steps: float

    def scales(self, weight: Tensor, groups: int) -> Tensor:
        """What a step is worth in each group of a weight (out, in): (out, groups), of its type."""
        rows, width = weight.shape
        return weight.reshape(rows, groups, width // groups).abs().amax(2) / self.steps

    def round(self, weight: Tensor, scales: Tensor) -> Tensor:
        """The nearest integers to a weight (out, in) with scales (out, groups), int8.

        Where a scale is 0, so are all weights of its group.
        """
        rows, width = weight.shape
        groups = scales.shape[1]
        divisors = scales.masked_fill(scales == 0, 1)[:, :, None]
        steps = weight.reshape(rows, groups, width // groups) / divisors
        return steps.round().clamp(self.lowest, self.highest).to(torch.int8).view(rows, width)


INT8 = Grid(-127, 127, 127.0)
INT4 = Grid(-8, 7, 7.5)


def quantize(weight: Tensor, grid: Grid, groups: int = 1) -> tuple[Tensor, Tensor]:
    """Round a weight (out, in) to integers of that shape, int8, and float32 scales (out, groups).

    A weight that is not finite makes its whole group NaN, so that it is seen.
    """
    rows = weight.detach().float()
    scales = grid.scales(rows, groups)
    return grid.round(rows, scales), scales


def dequantize(integers: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """The weight (out, in) of integers of that shape and scales (out, groups).

    Rounded to ``dtype`` from float32 products.
    """
    rows, width = integers.shape
    groups = scales.shape[1]
    weight = integers.view(rows, groups, width // groups) * scales[:, :, None]
    return weight.reshape(rows, width).to(dtype)
