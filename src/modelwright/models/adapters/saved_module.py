"""A module with whole trained copies beside it, as PEFT's ``modules_to_save``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.module_tree import copy_of


class SavedModule(nn.Module):
    """An embedding, a head or another module, in whose place a copy of the active adapter works.

    Copies are float32 whatever the base is, and give results in the base's type.

    Parameters
    ----------
    module : nn.Module
        What it takes the place of.

    Attributes
    ----------
    active : str or None
        The adapter that is on.
    configs : dict of str to AdapterConfig
        Those that are there.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.original_module = module
        self.modules_to_save = nn.ModuleDict()
        self.active: str | None = None
        self.configs = dict[str, AdapterConfig]()

    def add(self, adapter: str, config: AdapterConfig, memo: dict[int, Any]) -> None:
        """Copy the original, frozen and off; parameters that ``memo`` knows are shared."""
        self.modules_to_save[adapter] = copy_of(self.original_module, torch.float32, memo)
        self.configs[adapter] = config
        self.train(self.original_module.training)

    def remove(self, adapter: str) -> None:
        """Take an adapter away."""
        del self.modules_to_save[adapter], self.configs[adapter]
        if self.active == adapter:
            self.active = None

    def trained(self, adapter: str) -> list[nn.Parameter]:
        """The parameters of an adapter that training changes."""
        return list(self.modules_to_save[adapter].parameters())

    @property
    def current(self) -> nn.Module:
        """The module that works now."""
        if self.active is None or self.active not in self.configs:
            return self.original_module
        return self.modules_to_save[self.active]

    @property
    def weight(self) -> Tensor:
        """That of the module that works now, for losses that multiply by a head themselves."""
        weight = self.current.weight
        assert isinstance(weight, Tensor)
        return weight

    def forward(self, x: Tensor) -> Tensor:
        """What the module makes of its input."""
        module = self.current
        if module is self.original_module or torch.is_autocast_enabled(x.device.type):
            out: Tensor = module(x)
            return out
        out = module(x.float() if x.is_floating_point() else x)
        original = next(self.original_module.parameters(), out)
        return out.to(original.dtype)
