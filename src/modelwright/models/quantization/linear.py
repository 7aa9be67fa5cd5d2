"""A linear layer with a frozen weight that lies in fewer bits than it is multiplied in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class QuantizedLinear(nn.Module, ABC):
    """What layers of all formats have in common.

    The product is made in the type of the input, or autocast's. The backward pass works the weight
    out again, so that between the passes only its few bits are kept.

    Parameters
    ----------
    shape : tuple of int
        Of the weight, (out, in).
    bias : nn.Parameter, optional
        (out,); as it was, not quantized.
    """

    def __init__(self, shape: tuple[int, ...], bias: nn.Parameter | None):
        super().__init__()
        self.out_features, self.in_features = shape
        self.bias = bias

    @abstractmethod
    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight (out, in), rounded to ``dtype`` from float32 products."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        out: Tensor = _FrozenProduct.apply(x.to(dtype), self)  # type: ignore[no-untyped-call]
        return out if self.bias is None else out + self.bias.to(dtype)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Scales stay float32 when a model is converted to a narrower type."""
        scales = {name: one for name, one in self.named_buffers() if one.is_floating_point()}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, before in scales.items():
            moved = self.get_buffer(name)
            if moved.dtype != before.dtype:
                setattr(self, name, before.to(moved.device))
        return self


class _FrozenProduct(torch.autograd.Function):
    """x · wᵀ, and its gradient with respect to x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: QuantizedLinear) -> Tensor:
        ctx.layer = layer
        return F.linear(x, layer.dequantize(x.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient @ ctx.layer.dequantize(gradient.dtype), None
