"""Normalisation of the residual stream and of heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelwright.models.config import TransformerConfig


class RMSNorm(nn.Module):
    """Root-mean-square normalisation (Zhang and Sennrich 2019, arXiv:1910.07467)."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        # The weight in the input's type: torch has a fused kernel for equal types only.
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


def make_norm(config: TransformerConfig) -> nn.Module:
    """A norm over the residual stream."""
    if config.norm == "layer":
        return nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
    return RMSNorm(config.hidden_size, eps=config.norm_eps)
