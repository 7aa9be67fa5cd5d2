"""How much the machine could compute in a second, to say how much of that training uses."""

from __future__ import annotations

import time
from functools import cache

import torch

SIZES = {"cpu": 1024, "cuda": 8192, "mps": 2048}
REPEATS = 20
"""The best one counts: beside other work most of them are slow, and shares would exceed 1."""
SECONDS = 1.0
"""Long enough where one alone takes this long, as those in bfloat16 on a CPU without it do."""


@cache
def peak_flops(device: torch.device, precision: torch.dtype) -> float:
    """Operations a second of the best of some square matrix products, measured once.

    The figure that vendors print cannot be reached; a share of what a plain product reaches says
    how much the rest costs.
    """
    size = SIZES[device.type]
    # Of equal numbers a GPU's products are faster: fewer bits flip, so it need not slow its clock.
    generator = torch.Generator(device).manual_seed(0)
    left = torch.randn(size, size, generator=generator, device=device, dtype=precision)
    measured = list[float]()
    while len(measured) < REPEATS and sum(measured) < SECONDS:
        measured.append(_seconds(left))
    return 2.0 * size**3 / min(measured)


def _seconds(left: torch.Tensor) -> float:
    _wait(left)
    began = time.perf_counter()
    _wait(left @ left)
    return time.perf_counter() - began


def _wait(tensor: torch.Tensor) -> None:
    """Until the device has worked it out."""
    tensor[0, 0].item()
