"""A model's matrices as the kernels read them: in place, or rounded to fewer bits.

How integers are laid out is said in ``kernels/tiles.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelwright.inference.kernels.linear import BFLOAT16, FLOAT32, INT4, INT8, product_address
from modelwright.inference.kernels.tiles import (
    GROUP,
    OUTPUTS,
    BFloat16,
    Int4,
    Int8,
    step_bytes,
)
from modelwright.models.quantization import integers
from modelwright.models.quantization.int4 import Int4Linear
from modelwright.models.quantization.int8 import Int8Linear
from modelwright.models.quantization.integers import quantize

WeightFormat = Literal["float32", "bfloat16", "int8", "int4"]


@dataclass(frozen=True)
class PackedMatrix:
    """One matrix (outputs, width).

    Attributes
    ----------
    kind : int
        Its format, as ``kernels/linear.py`` numbers them.
    weights : Tensor
        float32 (outputs, width); others (panels, steps, ``OUTPUTS``, elements of a step), where a
        panel is ``OUTPUTS`` rows, with rows of zeros behind the last: bfloat16, int8 or, for int4,
        uint8, with two weights in an element.
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


def pack(layer: nn.Module, to: WeightFormat) -> PackedMatrix:
    """Bring a layer's matrix (outputs, width) into a format.

    Weights in float32 are taken as they are, not copied; a layer in int8 or int4 stays in that.
    Rounding is that of ``modelwright compress`` without calibration.
    """
    if isinstance(layer, Int8Linear):
        return _int8(layer.integers, layer.scales)
    if isinstance(layer, Int4Linear):
        return _int4(layer.integers, layer.scales)
    return pack_weight(layer.get_parameter("weight"), to)


def pack_weight(weight: Tensor, to: WeightFormat) -> PackedMatrix:
    """Bring a matrix (outputs, width) into a format."""
    weight = weight.detach()
    if to == "float32":
        return PackedMatrix(FLOAT32, weight.float().contiguous(), torch.zeros(0))
    if to == "bfloat16":
        return PackedMatrix(BFLOAT16, _in_panels(weight.bfloat16(), BFloat16()), torch.zeros(0))
    if to == "int8":
        return _int8(*quantize(weight, integers.INT8))
    return _int4(*quantize(weight, integers.INT4, weight.shape[1] // GROUP))


def _int8(rounded: Tensor, scales: Tensor) -> PackedMatrix:
    return PackedMatrix(INT8, _in_panels(rounded, Int8()), scales[:, 0].contiguous())


def _int4(rounded: Tensor, scales: Tensor) -> PackedMatrix:
    finer = rounded.shape[1] // GROUP // scales.shape[1]
    scales = scales.repeat_interleave(finer, dim=1)
    groups = rounded.reshape(len(rounded), -1, GROUP).to(torch.uint8)
    low, high = groups[..., : GROUP // 2] & 15, groups[..., GROUP // 2 :] & 15
    rows = torch.flatten(low | (high << 4), 1)
    return PackedMatrix(INT4, _in_panels(rows, Int4()), scales.contiguous())


def _in_panels(rows: Tensor, kind: Any) -> Tensor:
    """Lay rows (outputs, elements) out as the tiles read them."""
    elements = step_bytes(kind) // rows.element_size()
    rows = F.pad(rows, (0, 0, 0, -len(rows) % OUTPUTS))
    return rows.view(-1, OUTPUTS, rows.shape[1] // elements, elements).transpose(1, 2).contiguous()
