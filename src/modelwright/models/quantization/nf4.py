"""NF4: four bits a weight, for weights that are near a normal distribution (QLoRA, section 3).

Dettmers et al. 2023, arXiv:2305.14314. Weights lie in blocks of 64 along the flattened matrix; a
block keeps its largest absolute value, and each weight the nearest of 16 levels between minus and
plus that. Bytes equal those of bitsandbytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 64
"""Weights that share a scale."""

LEVELS = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
"""Quantiles of the normal distribution, seven below zero and eight above (appendix E)."""


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round a weight to the levels.

    Parameters
    ----------
    weight : Tensor
        Of any shape with n numbers and any floating type.

    Returns
    -------
    packed : Tensor
        Two levels a byte, the first in the high four bits: (⌈n/2⌉,), uint8.
    absmax : Tensor
        Largest absolute value of each block, (⌈n/64⌉,), float32.

    Notes
    -----
    A weight that is not finite leaves nothing finite in its block, so that it is seen.
    """
    values = weight.detach().reshape(-1).float()
    blocks = F.pad(values, (0, -values.numel() % BLOCK)).view(-1, BLOCK)
    absmax = blocks.abs().amax(1)
    # A block of zeros would be 0/0; any scale makes its weights the level 0.
    inside = blocks * absmax.clamp(min=1e-38).reciprocal()[:, None]
    levels = torch.tensor(LEVELS, device=weight.device)
    middles = (levels[1:] + levels[:-1]) / 2
    codes = torch.bucketize(inside.view(-1), middles, out_int32=True).to(torch.uint8)
    codes = codes[: values.numel() + values.numel() % 2]
    return (codes[::2] << 4) | codes[1::2], absmax


def dequantize(
    packed: Tensor, absmax: Tensor, pairs: Tensor, shape: torch.Size, dtype: torch.dtype
) -> Tensor:
    """The weight that :func:`quantize` kept.

    Parameters
    ----------
    packed, absmax : Tensor
        As :func:`quantize` gives them.
    pairs : Tensor
        :func:`byte_pairs`, on the same device.
    shape : torch.Size
        Of the weight.
    dtype : torch.dtype
        What float32 products are rounded to.
    """
    if packed.is_cuda and (kernel := bitsandbytes_kernel()) is not None:
        return kernel(packed, absmax, shape, dtype)
    values = pairs.index_select(0, packed.int()).view(torch.float32)
    count = shape.numel()
    whole = count - count % BLOCK
    values[:whole].view(-1, BLOCK).mul_(absmax[: whole // BLOCK, None])
    if count > whole:
        values[whole:].mul_(absmax[-1])
    return values[:count].view(shape).to(dtype)


def byte_pairs() -> Tensor:
    """By byte, its two levels as the bits of two float32, (256,), int64.

    Read as one number, they take half as many look-ups.
    """
    levels, codes = torch.tensor(LEVELS), torch.arange(256)
    return torch.stack([levels[codes >> 4], levels[codes & 15]], 1).view(torch.int64)[:, 0]


@cache
def bitsandbytes_kernel() -> Callable[[Tensor, Tensor, torch.Size, torch.dtype], Tensor] | None:
    """One kernel for all of :func:`dequantize`, where the package is installed."""
    try:
        import bitsandbytes  # noqa: F401  (registers the operator)
    except ImportError:
        return None
    operator = torch.ops.bitsandbytes.dequantize_4bit.default

    def kernel(packed: Tensor, absmax: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        out: Tensor = operator(packed.view(-1, 1), absmax, BLOCK, "nf4", shape, dtype)
        return out

    return kernel
