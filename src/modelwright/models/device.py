"""Where to compute, and in which number format."""

from __future__ import annotations

import os
import time
from functools import cache

import torch

from modelwright.core.errors import UsageError
from modelwright.core.machine import available_cores, available_memory_bytes
from modelwright.core.ranks import are_several, local_rank

SQUARE, REPEATS = 512, 8
"""Size and number of the products that tell whether bfloat16 is fast."""

LEAST_GAIN = 1.2
"""How many times as fast bfloat16 must be; between what is found, 0.5 and 2 or more."""


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


def free_memory_bytes(device: torch.device) -> int:
    """What can still be had there: a GPU's own memory, or else that of the machine."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return available_memory_bytes()


def use_all_cores() -> None:
    """Compute on every core that this process may use, unless OMP_NUM_THREADS says otherwise.

    Each stage that computes calls this itself: sums depend on the number of threads, and a stage
    must give the same result whatever ran before it in the process.
    """
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or available_cores()))


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The type of matrix products; ``auto`` takes bfloat16 where the hardware is faster in it.

    With ``float8`` it is that of all products but those that are rewritten
    (:mod:`modelwright.models.quantization.float8`).

    Raises
    ------
    UsageError
        If float8 is asked for where the hardware does not multiply it.
    """
    if name == "float8" and not _multiplies_float8(device):
        raise UsageError(
            f"float8 needs an NVIDIA GPU of compute capability 8.9 or more (Ada, Hopper or newer), "
            f"and this would be trained on {_described(device)}",
            fix="use --precision auto (in 'run' --pretrain.precision auto)",
        )
    if name != "auto":
        return torch.float32 if name == "float32" else torch.bfloat16
    if device.type == "cuda":
        is_faster = torch.cuda.is_bf16_supported()
    else:
        is_faster = device.type == "cpu" and _is_cpu_faster_in_bfloat16()
    return torch.bfloat16 if is_faster else torch.float32


def _multiplies_float8(device: torch.device) -> bool:
    # AMD's have formats of their own, and MPS and CPUs no such products that were any faster.
    is_nvidia = device.type == "cuda" and torch.version.hip is None
    return is_nvidia and torch.cuda.get_device_capability(device) >= (8, 9)


def _described(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"the {device.type}"


@cache
def _is_cpu_faster_in_bfloat16() -> bool:
    """Whether it is worth the rounding.

    With AMX it is. Of CPUs that have AVX512_BF16 only, some multiply at twice the rate of float32
    and some at half of it, so that takes a few milliseconds of trying.
    """
    # Missing in older torch, where float32 is the safe choice.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if capabilities.get("amx_bf16"):
        return True
    if not capabilities.get("avx512_bf16"):
        return False
    full = torch.ones(SQUARE, SQUARE)
    half = full.bfloat16()
    # In turns, so that another program's work falls on both.
    times = [(_product_seconds(full), _product_seconds(half)) for _ in range(REPEATS)]
    return min(one for one, _ in times) > LEAST_GAIN * min(one for _, one in times)


def _product_seconds(matrix: torch.Tensor) -> float:
    began = time.perf_counter()
    torch.mm(matrix, matrix)
    return time.perf_counter() - began
