"""Rewriting a model's module tree: which modules are meant, and putting one in another's place."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


def is_in_block(name: str) -> bool:
    """Whether the module of that name lies in one of a model's blocks, as its head does not."""
    return ".layers." in f".{name}"


def is_called(name: str, short: str) -> bool:
    """Whether a module's name is ``short`` or ends with it: ``q_proj`` is in every block."""
    return name == short or name.endswith(f".{short}")


def replace_module(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module into the place of the one called ``name``."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def copy_of(module: nn.Module, dtype: torch.dtype, memo: dict[int, Any]) -> nn.Module:
    """A frozen copy with parameters of a type; those that ``memo`` knows already are shared.

    The copies of parameters are put into ``memo``, as ``copy.deepcopy`` uses it: with one for
    several modules, what is tied stays tied.
    """
    for one in module.parameters():
        if id(one) not in memo:
            value = one.detach().to(dtype, copy=True)
            memo[id(one)] = nn.Parameter(value, requires_grad=False)
    for buffer in module.buffers():
        memo.setdefault(id(buffer), buffer.clone())
    return copy.deepcopy(module, memo)
