"""Compiling the model's blocks before training."""

from __future__ import annotations

import os
import shutil

import torch

from modelwright.core.errors import UsageError
from modelwright.models.transformer import CausalLM


def compile_blocks(model: CausalLM, wanted: bool | None, device: torch.device) -> None:
    """Have each block compiled when it first runs; by default on a GPU.

    All blocks are alike, so that one build serves them all, and PyTorch keeps it on disk for the
    next run.

    Raises
    ------
    UsageError
        If it is asked for on a CPU where there is no C++ compiler.
    """
    if not (device.type == "cuda" if wanted is None else wanted):
        return
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and shutil.which(compiler) is None:
        raise UsageError(
            f"compiling needs a C++ compiler, and there is no '{compiler}'",
            fix="install one, or leave --compile out",
        )
    for block in model.model.layers:
        block.compile()
