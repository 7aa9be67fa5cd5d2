"""Causal attention by blocks of queries, for training on a CPU in bfloat16.

PyTorch's kernel for CPUs multiplies pieces of one head at a time. Here the products of all heads
are one batched product for each block of queries, which sees no keys behind it; probabilities are
kept for the backward pass instead of being worked out again (unlike Dao et al. 2022,
arXiv:2205.14135): :func:`kept_bytes` a layer. Compiled, it takes about half the time at 256 tokens
and four fifths at 1,024; in float32 nothing is gained.

Shapes in comments: B batch, T tokens, H query heads, K key/value heads, G = H / K, D head width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BLOCK = 128
"""Queries in a block."""

LONGEST = 1024
"""Tokens up to which it was tried; its memory grows with T²."""


def is_block_attention_faster(q: Tensor, k: Tensor) -> bool:
    """Whether to use it for causal attention of q (B, H, T, D) to k (B, K, T, D)."""
    length = q.shape[2]
    return (
        torch.compiler.is_compiling()
        and torch.is_grad_enabled()
        and q.device.type == "cpu"
        and q.dtype == torch.bfloat16
        and k.shape[2] == length
        and fits(length)
    )


def fits(length: int) -> bool:
    """Whether sequences of that length can be taken in blocks."""
    return length <= LONGEST and length % BLOCK == 0


def kept_bytes(batch: int, heads: int, length: int) -> int:
    """Bytes of the probabilities that a layer keeps for its backward pass, in bfloat16."""
    return 2 * batch * heads * length * (length + BLOCK) // 2


def block_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention: (B, H, T, D) and twice (B, K, T, D) to (B, H, T, D); T in whole blocks."""
    out: Tensor = _BlockAttention.apply(q, k, v)  # type: ignore[no-untyped-call]
    return out


class _BlockAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        queries, keys, values = _by_key_head(q, k.shape[1]), _joined(k), _joined(v)
        outs, probabilities = [], []
        for start in range(0, q.shape[2], BLOCK):
            end = start + BLOCK
            scores = torch.bmm(_rows(queries, start), keys[:, :end].mT)  # (B·K, G·BLOCK, end)
            block = _causal_softmax(scores, q.shape[-1] ** -0.5)
            outs.append(_by_head(torch.bmm(block, values[:, :end])))
            probabilities.append(block)
        ctx.save_for_backward(queries, keys, values, *probabilities)
        return torch.cat(outs, dim=2).view(q.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        queries, keys, values, *probabilities = ctx.saved_tensors
        scale = gradient.shape[-1] ** -0.5
        slopes = _by_key_head(gradient, keys.shape[0] // gradient.shape[0])
        of_queries = []
        of_keys = torch.zeros_like(keys, dtype=torch.float32)
        of_values = torch.zeros_like(values, dtype=torch.float32)
        for number, block in enumerate(probabilities):
            start, end = number * BLOCK, (number + 1) * BLOCK
            rows = _rows(slopes, start)
            of_scores = _softmax_gradient(block, torch.bmm(rows, values[:, :end].mT), scale)
            of_queries.append(_by_head(torch.bmm(of_scores, keys[:, :end])))
            of_values[:, :end] += torch.bmm(block.mT, rows)
            of_keys[:, :end] += torch.bmm(of_scores.mT, _rows(queries, start))
        shape = (gradient.shape[0], -1, *keys.shape[1:])
        return (
            torch.cat(of_queries, dim=2).view(gradient.shape),
            of_keys.to(keys.dtype).view(shape),
            of_values.to(values.dtype).view(shape),
        )


def _by_key_head(x: Tensor, heads: int) -> Tensor:
    """(B, H, T, D) as (B·K, G, T, D): the queries of one key head together."""
    batch, all_heads, length, width = x.shape
    return x.reshape(batch * heads, all_heads // heads, length, width)


def _joined(x: Tensor) -> Tensor:
    """(B, K, T, D) as (B·K, T, D)."""
    return x.reshape(-1, *x.shape[2:])


def _rows(x: Tensor, start: int) -> Tensor:
    """A block of queries (B·K, G·BLOCK, D)."""
    return x[:, :, start : start + BLOCK].flatten(1, 2)


def _by_head(rows: Tensor) -> Tensor:
    """A block (B·K, G·BLOCK, D) as (B·K, G, BLOCK, D)."""
    return rows.view(rows.shape[0], -1, BLOCK, rows.shape[-1])


def _causal_softmax(scores: Tensor, scale: float) -> Tensor:
    """Probabilities of a block (N, G·BLOCK, S), whose last query sees all S keys."""
    rows, keys = scores.shape[1:]
    query = torch.arange(rows)[:, None] % BLOCK + (keys - BLOCK)
    hidden = torch.arange(keys)[None, :] > query
    scaled = (scores.float() * scale).masked_fill(hidden, float("-inf"))
    return torch.softmax(scaled, dim=-1).to(scores.dtype)


def _softmax_gradient(probabilities: Tensor, slopes: Tensor, scale: float) -> Tensor:
    """Gradient of the scores: p · (g - Σ p g) · scale."""
    p, g = probabilities.float(), slopes.float()
    return (p * (g - (p * g).sum(dim=-1, keepdim=True)) * scale).to(probabilities.dtype)
