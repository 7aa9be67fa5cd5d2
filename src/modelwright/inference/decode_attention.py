"""Attention of sequences that run one token each, with shapes that do not depend on their lengths.

Shapes in comments: B sequences, H query heads, K key/value heads, D width of a head, W blocks of a
table, S = W · BLOCK_SIZE tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional as F

from modelwright.inference.block_manager import BLOCK_SIZE


@dataclass(frozen=True)
class DecodeStep:
    """Where the tokens of a step go and what they look at.

    Attributes
    ----------
    slots : Tensor
        Their places in the cache, taken as one row of places (B,), int64.
    table : Tensor
        Block tables (B, W), int32, of which only what is filled is looked at.
    lengths : Tensor
        Tokens that each attends to, itself included (B,), int64.
    """

    slots: Tensor
    table: Tensor
    lengths: Tensor

    @classmethod
    def at(cls, positions: Tensor, table: Tensor) -> DecodeStep:
        """For tokens at these places in their sequences (B,)."""
        blocks = table.gather(1, (positions // BLOCK_SIZE)[:, None])[:, 0].long()
        return cls(blocks * BLOCK_SIZE + positions % BLOCK_SIZE, table, positions + 1)


class DecodeLayer:
    """One layer's cache during such a step.

    Parameters
    ----------
    keys, values : Tensor
        The layer's (blocks, BLOCK_SIZE, K, D).
    step : DecodeStep
        The step.
    window : int, optional
        How many tokens a token sees in this layer, itself included.
    """

    def __init__(self, keys: Tensor, values: Tensor, step: DecodeStep, window: int | None):
        self.keys, self.values, self.step, self.window = keys, values, step, window

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Store keys and values (1, K, B, D); what queries (1, H, B, D) find, in their shape."""
        for cache, new in ((self.keys, keys), (self.values, values)):
            cache.view(-1, *cache.shape[2:]).index_copy_(0, self.step.slots, new[0].transpose(0, 1))
        found = self.look(queries[0].transpose(0, 1))
        return found.transpose(0, 1)[None]

    def look(self, queries: Tensor) -> Tensor:
        """What queries (B, H, D) find in what is stored, in their shape."""
        if has_triton(queries.device):
            from modelwright.inference.triton_attention import paged_attention

            attention = paged_attention
        else:
            attention = gathered_attention
        return attention(
            queries, self.keys, self.values, self.step.table, self.step.lengths, self.window
        )


def has_triton(device: torch.device) -> bool:
    """Whether Triton's kernels run there; PyTorch for CUDA brings it along on Linux."""
    return device.type == "cuda" and find_spec("triton") is not None


def gathered_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    table: Tensor,
    lengths: Tensor,
    window: int | None,
) -> Tensor:
    """Plain PyTorch: all blocks of the tables are copied, and those that are not filled masked.

    Parameters
    ----------
    queries : Tensor
        One token of each sequence (B, H, D).
    keys, values : Tensor
        A layer's cache (blocks, BLOCK_SIZE, K, D).
    table : Tensor
        Block tables (B, W), integers.
    lengths : Tensor
        Tokens that each attends to, at least 1, (B,).
    window : int, optional
        How many of these, from the last one back.

    Returns
    -------
    Tensor
        (B, H, D).
    """
    places = torch.arange(table.shape[1] * BLOCK_SIZE, device=table.device)
    seen = places < lengths[:, None]
    if window is not None:
        seen &= places >= lengths[:, None] - window
    index = table.long()

    def copied(cache: Tensor) -> Tensor:
        """(B, K, S, D); others' blocks are among them, and 0 · NaN is NaN."""
        whole = cache[index].flatten(1, 2).transpose(1, 2)
        return whole.masked_fill(~seen[:, None, :, None], 0)

    found = F.scaled_dot_product_attention(
        queries[:, :, None],
        copied(keys),
        copied(values),
        attn_mask=seen[:, None, None],
        enable_gqa=queries.shape[1] != keys.shape[2],
    )
    return found[:, :, 0]
