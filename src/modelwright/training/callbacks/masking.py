"""Keeps the zeros of a pruned model while it is trained."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from modelwright.training.checkpoint import TrainState


class Masking:
    """Sets what was pruned to zero again after every step.

    Parameters
    ----------
    model : nn.Module
        Whose weights are changed in place.
    masks : mapping of str to Tensor
        By the names of linear layers, what is kept of their weights: (out, in), bool.
    """

    def __init__(self, model: nn.Module, masks: Mapping[str, Tensor]):
        self._held = [(model.get_parameter(f"{name}.weight"), mask) for name, mask in masks.items()]

    @torch.no_grad()
    def __call__(self, state: TrainState) -> None:
        """Apply the masks; weights and masks lie on one device."""
        for weight, mask in self._held:
            weight.masked_fill_(~mask, 0)
