"""A model's matrices as the kernels read them: in place, or rounded to fewer bits.

How integers are laid out is said in ``kernels/tiles.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from modelwright.inference.kernels.linear import BFLOAT16, FLOAT32, INT4, INT8, product_address
from modelwright.inference.kernels.tiles import GROUP

WeightFormat = Literal["float32", "bfloat16", "int8", "int4"]


@dataclass(frozen=True)
class PackedMatrix:
    """One matrix (outputs, width), row after row.

    Attributes
    ----------
    kind : int
        Its format, as ``kernels/linear.py`` numbers them.
    weights : Tensor
        float32 or bfloat16 (outputs, width); int8 (outputs, width) or, for int4, uint8
        (outputs, width / 2).
    scales : Tensor
        float32: (outputs,) for int8, (outputs, width / ``GROUP``) for int4; else empty.
    """

    kind: int
    weights: Tensor
    scales: Tensor

    def addresses(self) -> tuple[int, int, int, int]:
        """What the kernels take (``kernels/linear.py``); only valid while this lives."""
        return (
            self.kind,
            product_address(self.kind),
            self.weights.data_ptr(),
            self.scales.data_ptr(),
        )

    @property
    def nbytes(self) -> int:
        """Memory that is read for one product."""
        return self.weights.nbytes + self.scales.nbytes


def pack(weight: Tensor, to: WeightFormat) -> PackedMatrix:
    """Bring a matrix (outputs, width) into a format; float32 is taken as it is, not copied.

    Integers are symmetric and rounded to the nearest: with the largest weight of an output at 127,
    or that of a group at -8 or 7, whichever leaves less error.
    """
    weight = weight.detach().float()
    if to == "float32":
        return PackedMatrix(FLOAT32, weight.contiguous(), torch.zeros(0))
    if to == "bfloat16":
        return PackedMatrix(BFLOAT16, weight.bfloat16().contiguous(), torch.zeros(0))
    if to == "int8":
        return PackedMatrix(INT8, *_int8(weight))
    return PackedMatrix(INT4, *_int4(weight))


def packed_int4(integers: Tensor) -> Tensor:
    """int8 (outputs, width) from -8 to 7 as bytes uint8 (outputs, width / 2)."""
    groups = integers.reshape(len(integers), -1, GROUP).to(torch.uint8)
    low, high = groups[..., : GROUP // 2] & 15, groups[..., GROUP // 2 :] & 15
    return torch.flatten(low | (high << 4), 1).contiguous()


def _int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    scales = weight.abs().amax(dim=1) / 127
    divisor = torch.where(scales > 0, scales, 1)
    return (weight / divisor[:, None]).round().to(torch.int8).contiguous(), scales


def _int4(weight: Tensor) -> tuple[Tensor, Tensor]:
    groups = weight.reshape(len(weight), -1, GROUP)
    largest = groups.gather(2, groups.abs().argmax(dim=2, keepdim=True))  # with its sign
    best_error = groups.new_full(largest.shape, torch.inf)
    integers, scales = torch.zeros_like(groups), torch.zeros_like(largest)
    for level in (-8.0, 7.0):
        scale = largest / level
        rounded = (groups / torch.where(scale != 0, scale, 1)).round().clamp(-8, 7)
        error = (rounded * scale - groups).square().sum(dim=2, keepdim=True)
        is_better = error < best_error
        best_error = torch.where(is_better, error, best_error)
        integers = torch.where(is_better, rounded, integers)
        scales = torch.where(is_better, scale, scales)
    return packed_int4(integers.flatten(1).to(torch.int8)), scales.squeeze(2).contiguous()
