"""Rewriting a model's module tree: which modules are meant, and putting one in another's place."""

from __future__ import annotations

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
