"""Where to compute, and in which number format."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch

from modelwright.core.errors import UsageError
from modelwright.core.machine import available_cores
from modelwright.core.ranks import are_several, local_rank


def pick_device(name: str) -> torch.device:
    """The device of that name; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    UsageError
        If the machine has no such device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((device for device, is_there in there.items() if is_there), "cpu")
    elif not there.get(name, True):
        raise UsageError(f"this machine has no {name} device", fix="use --device auto")
    if name == "cuda" and are_several():  # each has its own
        return torch.device(name, local_rank())
    return torch.device(name)


def use_all_cores() -> None:
    """Compute on every core that this process may use, unless OMP_NUM_THREADS says otherwise.

    Each stage that computes calls this itself: sums depend on the number of threads, and a stage
    must give the same result whatever ran before it in the process.
    """
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or available_cores()))


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The type of matrix products; ``auto`` takes bfloat16 where the hardware computes in it."""
    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    if device.type == "cuda":
        has_bfloat16 = torch.cuda.is_bf16_supported()
    elif device.type == "cpu":
        capabilities = _cpu_capabilities()
        has_bfloat16 = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    else:
        has_bfloat16 = False
    return torch.bfloat16 if has_bfloat16 else torch.float32


def _cpu_capabilities() -> Mapping[str, object]:
    # Missing in older torch, where float32 is the safe choice.
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
