"""Double quantization: the scales of blocks in eight bits instead of 32 (QLoRA, section 3).

The mean is taken off, as scales are positive; what is left is rounded to the 8-bit dynamic type
(Dettmers 2016, arXiv:1511.04561) in blocks of 256. Bytes equal those of bitsandbytes on a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 256
"""Scales that share a scale."""

_STEPS = 65_535
"""bitsandbytes' CPU code first rounds a number between -1 and 1 to one of as many steps, and takes
the level that is nearest to the step."""


def quantize_scales(absmax: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Round scales (n,), float32.

    Returns
    -------
    codes : Tensor
        Places in :func:`dynamic_levels`, (n,), uint8.
    nested_absmax : Tensor
        Largest absolute value of each block, (⌈n/256⌉,), float32.
    offset : Tensor
        The mean of all scales, 0-d float32.
    """
    offset = absmax.mean()
    centred = absmax - offset
    blocks = F.pad(centred, (0, -centred.numel() % BLOCK)).view(-1, BLOCK)
    nested_absmax = blocks.abs().amax(1)[:, None]
    codes = _nearest(blocks * nested_absmax.clamp(min=1e-38).reciprocal())
    # Blocks of zeros get code 0: whatever that stands for is multiplied by 0.
    codes = codes.masked_fill(nested_absmax == 0, 0).view(-1)[: absmax.numel()]
    return codes, nested_absmax[:, 0], offset


def dequantize_scales(
    codes: Tensor, nested_absmax: Tensor, offset: Tensor, levels: Tensor
) -> Tensor:
    """The scales that :func:`quantize_scales` kept, (n,), float32.

    Parameters
    ----------
    codes, nested_absmax, offset : Tensor
        As :func:`quantize_scales` gives them.
    levels : Tensor
        :func:`dynamic_levels`, on the same device.
    """
    values = levels.index_select(0, codes.int())
    scales = nested_absmax.repeat_interleave(BLOCK)[: codes.numel()]
    return values.mul_(scales).add_(offset)


def dynamic_levels() -> Tensor:
    """The 256 numbers of the 8-bit dynamic type, ascending, float32.

    A number has a sign, a decimal exponent from 0 to -6, and the fewer steps between 0.1 and 1
    the smaller it is; 0 and 1 are added.
    """
    levels = [torch.tensor([0.0, 1.0])]
    for exponent in range(7):
        edges = torch.linspace(0.1, 1, 2**exponent + 1)
        middles = (edges[1:] + edges[:-1]) / 2 * 10.0 ** (exponent - 6)
        levels += [middles, -middles]
    return torch.cat(levels).sort().values


def _nearest(inside: Tensor) -> Tensor:
    """The codes of numbers between -1 and 1, uint8."""
    half = (inside.clamp(-1, 1) + 1) * 0.5
    # The compiled C++ multiplies and adds with one rounding, which float64 gives here.
    step = (half.double() * _STEPS + 0.5).float().floor()
    levels = dynamic_levels().to(inside.device)
    middles = (levels[1:] + levels[:-1]) * 0.5
    return torch.bucketize(-1 + 2 * step / _STEPS, middles, out_int32=True).to(torch.uint8)
