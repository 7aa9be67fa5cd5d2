"""Training with the products of linear layers in float8, each tensor scaled to the format's range.

Inputs and weights are rounded to e4m3, which has the finer steps, gradients to e5m2, which has the
wider range (Micikevicius et al. 2022, arXiv:2209.05433). A tensor's scale is worked out from the
tensor itself, so that nothing is kept from step to step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MULTIPLE = 16
"""What the sizes of a product have to be multiples of on NVIDIA's tensor cores."""

SMALLEST = 1e-12
"""Least maximum that a tensor is scaled by: one of zeros must stay zeros."""


def use_float8(model: nn.Module) -> int:
    """Rewrite the linear layers below a module whose sizes allow it; returns how many.

    Parameters stay the same objects under the same names. A model's output head, where rounding
    does most harm, is to be left out by giving the blocks only.
    """
    count = 0
    for place, parent in list(model.named_modules()):
        is_adapter = "lora_" in place  # small, and kept in float32
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear and _fits(layer) and not is_adapter:
                setattr(parent, name, Float8Linear(layer))
                count += 1
    return count


class Float8Linear(nn.Linear):
    """A linear layer that computes in float8 while it is trained.

    Out of training it is the ordinary layer, as the model will be used, and so it is for numbers of
    rows that are no multiple of 16.

    Parameters
    ----------
    layer : nn.Linear
        Whose parameters it takes over.
    """

    def __init__(self, layer: nn.Linear):
        super().__init__(
            layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta"
        )
        self.weight = layer.weight
        if layer.bias is not None:
            self.bias = layer.bias
        self.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out), in training of type bfloat16."""
        if not self.training or (x.numel() // x.shape[-1]) % MULTIPLE:
            return F.linear(x, self.weight, self.bias)
        rows = x.reshape(-1, x.shape[-1])
        out: Tensor = _Float8Product.apply(rows, self.weight)  # type: ignore[no-untyped-call]
        if self.bias is not None:
            out = out + self.bias.to(out.dtype)
        return out.view(*x.shape[:-1], -1)


class _Float8Product(torch.autograd.Function):
    """x · wᵀ of (N, in) and (out, in), and its two gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        narrow_x, x_scale = _narrowed(x, torch.float8_e4m3fn)
        narrow_weight, weight_scale = _narrowed(weight, torch.float8_e4m3fn)
        ctx.save_for_backward(narrow_x, x_scale, narrow_weight, weight_scale)
        ctx.types = x.dtype, weight.dtype
        # Sums of fewer bits do in the forward pass, not for gradients (as in Transformer Engine).
        return _product(
            narrow_x, x_scale, narrow_weight.t(), weight_scale, torch.bfloat16, fast_sums=True
        )

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        narrow_x, x_scale, narrow_weight, weight_scale = ctx.saved_tensors
        x_type, weight_type = ctx.types
        slopes, scale = _narrowed(gradient, torch.float8_e5m2)
        x_gradient = _product(slopes, scale, _by_columns(narrow_weight), weight_scale, x_type)
        weight_gradient = _product(
            slopes.t().contiguous(), scale, _by_columns(narrow_x), x_scale, weight_type
        )
        return x_gradient, weight_gradient


def _narrowed(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The tensor in float8, contiguous, and what to multiply that by, 0-d float32.

    What is not finite makes all of it NaN: the guard of the training must see it.
    """
    largest = x.detach().abs().amax().float().clamp_min(SMALLEST)
    scale = torch.finfo(dtype).max / largest
    return (x.float() * scale).to(dtype).contiguous(), scale.reciprocal()


def _product(
    left: Tensor,
    left_scale: Tensor,
    right: Tensor,
    right_scale: Tensor,
    dtype: torch.dtype,
    fast_sums: bool = False,
) -> Tensor:
    """Of a matrix that lies by rows and one that lies by columns, as Hopper's hardware wants."""
    return torch._scaled_mm(
        left,
        right,
        scale_a=left_scale,
        scale_b=right_scale,
        out_dtype=dtype,
        use_fast_accum=fast_sums,
    )


def _by_columns(matrix: Tensor) -> Tensor:
    return matrix.t().contiguous().t()


def _fits(layer: nn.Linear) -> bool:
    return layer.in_features % MULTIPLE == 0 and layer.out_features % MULTIPLE == 0
