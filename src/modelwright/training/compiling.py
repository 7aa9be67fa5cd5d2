"""Compiling the model's blocks before training."""

from __future__ import annotations

import os
import shutil

import torch

from modelwright.core.errors import UsageError
from modelwright.models.transformer import DecoderModel
from modelwright.training.budget import Budget

LEAST_SECONDS = 180.0
"""Training time from which a CPU makes up for the half minute that compiling takes there, when it
is a fifth faster after it."""


def should_compile(
    asked: bool | None, device: torch.device, budget: Budget, has_one_shape: bool
) -> bool:
    """Whether to compile: as asked, or where it is worth it.

    Batches of many shapes would be compiled for each of them.
    """
    if asked is not None:
        return asked
    if not has_one_shape:
        return False
    if device.type == "cuda":
        return True
    is_long = budget.unit == "seconds" and budget.amount >= LEAST_SECONDS
    return device.type == "cpu" and is_long and shutil.which(_compiler()) is not None


def compile_blocks(model: DecoderModel, device: torch.device) -> None:
    """Have each block and the final norm compiled when they first run.

    All blocks are alike, so that one build serves them all, and PyTorch keeps it on disk for the
    next run.

    Raises
    ------
    UsageError
        If a CPU's C++ compiler is missing.
    """
    if device.type == "cpu" and shutil.which(_compiler()) is None:
        raise UsageError(
            f"compiling needs a C++ compiler, and there is no '{_compiler()}'",
            fix="install one, or leave --compile out",
        )
    for block in model.model.layers:
        block.compile()
    model.model.norm.compile()
    model.model.is_compiled = True


def _compiler() -> str:
    return os.environ.get("CXX", "g++")
