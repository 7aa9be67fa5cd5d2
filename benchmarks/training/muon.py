"""A step of our Muon against torch's, on the matrices of a model, and what matrix types cost.

python benchmarks/training/muon.py [WIDTH LAYERS]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch

from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM, initialise
from modelwright.training.optimizers.muon import Muon
from modelwright.training.optimizers.parameter_groups import parameter_groups

REPEATS = 5


def main() -> None:
    """Print the medians of interleaved steps, in CPU-seconds, and their ratio to torch's."""
    width, layers = map(int, sys.argv[1:3]) if len(sys.argv) > 2 else (384, 6)
    heads = width // 64
    model = CausalLM(TransformerConfig(4096, width, 3 * width, layers, heads, heads))
    initialise(model, 0)
    matrices = list(parameter_groups(model)["matrices"].values())
    for matrix in matrices:
        matrix.grad = torch.randn_like(matrix)
    group = {"params": matrices, "lr": 1e-9, "weight_decay": 0.1}
    steps: dict[str, Callable[[], object]] = {
        f"torch {torch.__version__}": torch.optim.Muon(
            **group, momentum=0.95, nesterov=True, adjust_lr_fn="match_rms_adamw"
        ).step,
        "ours, float32": Muon([group], dtype=torch.float32).step,
        "ours, bfloat16": Muon([group], dtype=torch.bfloat16).step,
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(REPEATS + 1):
        for name, step in steps.items():
            before = time.process_time()
            step()
            if repeat > 0:  # the first one allocates
                times[name].append(time.process_time() - before)
    count = sum(matrix.numel() for matrix in matrices)
    print(f"{len(matrices)} matrices, {count:,} weights, {torch.get_num_threads()} threads")
    theirs = statistics.median(next(iter(times.values())))
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:18} {median:.3f} CPU-s a step, {theirs / median:.2f} times as fast as torch")


main()
