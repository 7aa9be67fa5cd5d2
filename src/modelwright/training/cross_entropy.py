"""Cross-entropy of a linear head in chunks of rows, so that the logits never exist as a whole.

The gradients of logits, hidden states and head are worked out in the forward pass, chunk by chunk,
while the chunk's logits are in the cache: with V classes the loss takes O(chunk · V) memory instead
of O(rows · V), and the logits are computed once (Wijmans et al. 2024, arXiv:2411.09009, and Hsu et
al. 2024, arXiv:2410.10989, describe the idea).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 21
"""Logits in a chunk on a CPU: 8 MB in float32, which stays in the last-level cache."""

DEVICE_CHUNK_ELEMENTS = 1 << 27
"""On anything else: 512 MB, as products of fewer rows leave most of a GPU idle."""


def linear_cross_entropy(
    hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor, compiled: bool = False
) -> Tensor:
    """Weighted sum of the cross-entropies of ``softmax(hidden · headᵀ)``, in nats.

    Parameters
    ----------
    hidden : Tensor
        Hidden states (N, C); under autocast the products are made in its type, sums in float32.
    head : Tensor
        Weight of the output layer (V, C).
    targets : Tensor
        Classes (N,), int64.
    weights : Tensor
        Weight of each row (N,), float32; no gradient flows to it.
    compiled : bool
        Whether a GPU works it out in a compiled kernel; a CPU is as fast without.

    Returns
    -------
    Tensor
        A float32 scalar. Unless compiled, a row counts 87 nats at most; gradients are exact.
    """
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    with torch.autocast(device, enabled=False):
        needs_gradient = torch.is_grad_enabled() and (hidden.requires_grad or head.requires_grad)
        if needs_gradient:
            total: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
                hidden, head, targets, weights, dtype, compiled and hidden.is_cuda
            )
            return total
        return _forward(hidden.to(dtype), head.to(dtype), targets, weights)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        head: Tensor,
        targets: Tensor,
        weights: Tensor,
        dtype: torch.dtype,
        compiled: bool,
    ) -> Tensor:
        rows, table = hidden.to(dtype), head.to(dtype)
        # Rows are few numbers beside logits: it is they that take the weights.
        by_weight = weights[:, None]
        hidden_gradient = torch.empty_like(rows)
        head_gradient = torch.zeros_like(head, dtype=torch.float32)
        weighted = (rows * by_weight).to(dtype)
        total = torch.zeros((), device=hidden.device)
        losses_and_slopes = fused_kernel() if compiled else in_place
        parts = row_chunks(rows, table)
        room = rows.new_empty(len(rows[parts[0]]), len(table)) if parts else rows
        for part in parts:
            logits = torch.mm(rows[part], table.t(), out=room[: len(rows[part])])
            losses, slopes = losses_and_slopes(logits, targets[part])
            total += losses @ weights[part]
            torch.mm(slopes, table, out=hidden_gradient[part])
            _add_product(head_gradient, slopes.t(), weighted[part])
        hidden_gradient.mul_(by_weight)
        ctx.save_for_backward(hidden_gradient, head_gradient)
        ctx.types = hidden.dtype, head.dtype
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        hidden_gradient, head_gradient = ctx.saved_tensors
        hidden_type, head_type = ctx.types
        return (
            (hidden_gradient * gradient).to(hidden_type),
            (head_gradient * gradient).to(head_type),
            None,
            None,
            None,
            None,
        )


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add a matrix product to a sum in float32."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def in_place(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Losses of a chunk (N,), and their derivatives by the logits (N, V): softmax - one-hot.

    Made of PyTorch's own kernels for CPUs; ``logits`` may be overwritten.
    """
    chances = softmax_in_place(logits)
    picked = chances.gather(1, targets[:, None])
    slopes = chances.scatter_(1, targets[:, None], picked - 1)
    if slopes.dtype != logits.dtype:
        slopes = logits.copy_(slopes)
    return _losses(picked), slopes


def softmax_in_place(logits: Tensor) -> Tensor:
    """Chances (N, V) in float32, in the memory of float32 logits on a CPU: more fits its cache.

    The kernel there reads a row before it writes it; others may not.
    """
    if logits.device.type != "cpu":
        return torch.softmax(logits, -1, dtype=torch.float32)
    wide = logits.float()  # itself, if it is float32
    return torch.softmax(wide, -1, out=wide)


def _losses(picked: Tensor) -> Tensor:
    """Of chances (N, 1); what is below the smallest normal number counts as that, 87 nats."""
    return -picked.squeeze(1).clamp_min(torch.finfo(torch.float32).tiny).log()


def fused(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The same in a form that compiles to few passes over the logits: a GPU has no such cache.

    Losses may exceed 87 nats here.
    """
    wide = logits.float()
    log_sums = wide.logsumexp(-1, keepdim=True)
    losses = (log_sums - wide.gather(1, targets[:, None])).squeeze(1)
    is_target = torch.arange(wide.shape[1], device=wide.device) == targets[:, None]
    slopes = (wide - log_sums).exp() - is_target.float()
    return losses, slopes.to(logits.dtype)


@cache
def fused_kernel() -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """:func:`fused`, compiled for any number of rows when it first runs."""
    return torch.compile(fused, dynamic=True)


def _forward(rows: Tensor, table: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    total = torch.zeros((), device=rows.device)
    for part in row_chunks(rows, table):
        chances = torch.softmax(rows[part] @ table.t(), -1, dtype=torch.float32)
        total += _losses(chances.gather(1, targets[part, None])) @ weights[part]
    return total


def row_chunks(rows: Tensor, table: Tensor) -> list[slice]:
    """Slices of hidden states (N, C) so short that their logits with a head (V, C) fit a chunk."""
    elements = CHUNK_ELEMENTS if rows.device.type == "cpu" else DEVICE_CHUNK_ELEMENTS
    size = max(1, elements // table.shape[0])
    return [slice(start, start + size) for start in range(0, rows.shape[0], size)]
