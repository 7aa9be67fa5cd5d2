"""The most that plain matrix products reach on this machine, a figure a line.

python benchmarks/training/matmul_peak.py cpu|cuda

Prints JSON: operations a second by precision, best of several square sizes and repeats.
"""

from __future__ import annotations

import json
import sys
import time

import torch

SIZES = {"cpu": (512, 1024, 1536, 2048), "cuda": (4096, 8192, 12288)}
SECONDS_PER_SIZE = 1.0


def main() -> None:
    """Measure and print."""
    device = sys.argv[1]
    peaks = {
        name: max(peak(device, getattr(torch, name), size) for size in SIZES[device])
        for name in ("float32", "bfloat16")
    }
    print(json.dumps(peaks))


def peak(device: str, precision: torch.dtype, size: int) -> float:
    """Operations a second of the fastest product of that size; alone it would be all we do."""
    left = torch.randn(size, size, device=device).to(precision)
    out = torch.empty_like(left)
    torch.mm(left, left, out=out)
    best, until = float("inf"), time.perf_counter() + SECONDS_PER_SIZE
    while time.perf_counter() < until:
        wait(device)
        began = time.perf_counter()
        torch.mm(left, left, out=out)
        wait(device)
        best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best


def wait(device: str) -> None:
    """Until the device has worked it out."""
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
