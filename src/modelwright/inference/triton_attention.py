"""Attention over the blocks of the cache as Triton kernels: each key and value is read once.

A sequence's tokens are shared out among several programs, so that few long sequences keep a whole
GPU busy, and a second kernel puts together what these found (flash decoding; Dao et al. 2023). How
many there are depends on the number of sequences alone, never on their lengths: those are read by
the kernels, so that a captured graph holds for all.
"""

# ruff: noqa: N803 - what Triton's compiler knows beforehand is written in capitals

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

PROGRAMS = 512
"""Programs that keep a large GPU busy, about four for each multiprocessor."""

MOST_SHARES = 64
TOKENS = 64
"""Tokens that a program looks at at once."""

LEAST = 16
"""What Triton's matrix product takes."""


def paged_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    table: Tensor,
    lengths: Tensor,
    window: int | None,
) -> Tensor:
    """As ``gathered_attention`` of ``decode_attention.py``, which is its reference."""
    batch, heads, width = queries.shape
    _, block_size, kv_heads, _ = keys.shape
    queries = queries.contiguous()
    shares = shares_of(batch * kv_heads, table.shape[1] * block_size)
    group = heads // kv_heads
    found = queries.new_empty(batch, heads, shares, width, dtype=torch.float32)
    largest = queries.new_empty(batch, heads, shares, dtype=torch.float32)
    total = torch.empty_like(largest)
    padded_width = max(LEAST, triton.next_power_of_2(width))
    _attend_share[(batch, kv_heads, shares)](
        queries, keys, values, table, lengths, found, largest, total,
        width**-0.5, keys.stride(0), keys.stride(1), keys.stride(2), table.stride(0),
        HEADS=heads, GROUP=group, GROUP_PADDED=max(LEAST, triton.next_power_of_2(group)),
        WIDTH=width, WIDTH_PADDED=padded_width, BLOCK=block_size, TOKENS=TOKENS,
        SHARES=shares, WINDOW=window or 0,
    )  # fmt: skip
    out = torch.empty_like(queries)
    _combine[(batch * heads,)](
        found, largest, total, out, WIDTH=width, WIDTH_PADDED=padded_width, SHARES=shares
    )
    return out


def shares_of(groups: int, most_tokens: int) -> int:
    """Among how many programs each sequence's heads that share keys are divided."""
    wanted = min(triton.cdiv(PROGRAMS, groups), triton.cdiv(most_tokens, TOKENS), MOST_SHARES)
    return int(triton.next_power_of_2(wanted))


@triton.jit
def _attend_share(
    queries, keys, values, table, lengths, found, largest, total,
    scale, block_stride, token_stride, head_stride, table_stride,
    HEADS: tl.constexpr, GROUP: tl.constexpr, GROUP_PADDED: tl.constexpr,
    WIDTH: tl.constexpr, WIDTH_PADDED: tl.constexpr, BLOCK: tl.constexpr, TOKENS: tl.constexpr,
    SHARES: tl.constexpr, WINDOW: tl.constexpr,
):  # fmt: skip
    """The heads of one sequence that share keys, over one share of its tokens."""
    row, kv_head, share = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    length = tl.load(lengths + row).to(tl.int32)
    first = length * 0
    if WINDOW > 0:
        first = tl.maximum(length - WINDOW, 0)
    each = tl.cdiv(tl.cdiv(length - first, SHARES), TOKENS) * TOKENS
    start = first + share * each
    end = tl.minimum(start + each, length)

    members = tl.arange(0, GROUP_PADDED)
    features = tl.arange(0, WIDTH_PADDED)
    is_head, is_feature = members < GROUP, features < WIDTH
    heads = row * HEADS + kv_head * GROUP + members
    query = tl.load(
        queries + heads[:, None] * WIDTH + features[None, :],
        mask=is_head[:, None] & is_feature[None, :],
        other=0.0,
    )
    high = tl.full([GROUP_PADDED], float("-inf"), tl.float32)
    weight = tl.zeros([GROUP_PADDED], tl.float32)
    sums = tl.zeros([GROUP_PADDED, WIDTH_PADDED], tl.float32)
    for at in range(start, end, TOKENS):
        tokens = at + tl.arange(0, TOKENS)
        is_there = tokens < end
        blocks = tl.load(table + row * table_stride + tokens // BLOCK, mask=is_there, other=0)
        # 64 bits: a cache may have more than 2³¹ numbers.
        places = blocks.to(tl.int64) * block_stride + (tokens % BLOCK) * token_stride
        places += kv_head * head_stride
        key = tl.load(
            keys + places[None, :] + features[:, None],
            mask=is_feature[:, None] & is_there[None, :],
            other=0.0,
        )
        scores = tl.dot(query, key, input_precision="ieee") * scale
        scores = tl.where(is_there[None, :], scores, float("-inf"))
        higher = tl.maximum(high, tl.max(scores, 1))
        shrink = tl.exp(high - higher)
        weights = tl.exp(scores - higher[:, None])
        value = tl.load(
            values + places[:, None] + features[None, :],
            mask=is_there[:, None] & is_feature[None, :],
            other=0.0,
        )
        weight = weight * shrink + tl.sum(weights, 1)
        sums = sums * shrink[:, None]
        sums += tl.dot(weights.to(value.dtype), value, input_precision="ieee")
        high = higher

    mine = heads * SHARES + share
    tl.store(largest + mine, high, mask=is_head)
    tl.store(total + mine, weight, mask=is_head)
    tl.store(
        found + mine[:, None] * WIDTH + features[None, :],
        sums,
        mask=is_head[:, None] & is_feature[None, :],
    )


@triton.jit
def _combine(
    found, largest, total, out,
    WIDTH: tl.constexpr, WIDTH_PADDED: tl.constexpr, SHARES: tl.constexpr,
):  # fmt: skip
    """What one head found in all shares; empty ones have weight 0."""
    head = tl.program_id(0)
    shares = head * SHARES + tl.arange(0, SHARES)
    features = tl.arange(0, WIDTH_PADDED)
    is_feature = features < WIDTH
    high = tl.load(largest + shares)
    factor = tl.exp(high - tl.max(high, 0))
    weight = tl.sum(tl.load(total + shares) * factor, 0)
    sums = tl.load(
        found + shares[:, None] * WIDTH + features[None, :],
        mask=is_feature[None, :],
        other=0.0,
    )
    mean = tl.sum(sums * factor[:, None], 0) / weight
    tl.store(out + head * WIDTH + features, mean.to(out.dtype.element_ty), mask=is_feature)
