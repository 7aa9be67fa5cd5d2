"""Attention of several heads.

Shapes in comments: B batch, T new tokens, S tokens attended to, H query heads, K key/value heads,
D width of a head, C width of the residual stream.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from modelwright.models.block_attention import block_attention, is_block_attention_faster
from modelwright.models.config import TransformerConfig
from modelwright.models.masks import AttentionMask
from modelwright.models.norms import RMSNorm
from modelwright.models.rotary import rotate


class LayerCache(Protocol):
    """Keeps keys and values of one layer between calls (``inference/paged_attention.py``)."""

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Store new keys and values (B, K, T, D); what queries (B, H, T, D) find in all so far."""


class Attention(nn.Module):
    """Grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245).

    With ``query_key_norm``, queries and keys are RMS-normalised in each head.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = config.head_dim
        self.has_norms = config.query_key_norm
        width, bias = config.hidden_size, config.attention_bias
        self.q_proj = nn.Linear(width, self.heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(width, self.kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(width, self.kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(self.heads * self.head_dim, width, bias=bias)
        if self.has_norms:
            self.q_norm = RMSNorm(self.head_dim, eps=config.norm_eps)
            self.k_norm = RMSNorm(self.head_dim, eps=config.norm_eps)

    def forward(
        self,
        x: Tensor,
        angles: tuple[Tensor, Tensor] | None,
        mask: AttentionMask,
        cache: LayerCache | None,
    ) -> Tensor:
        """Map (B, T, C) to (B, T, C); ``angles`` are cosines and sines, (T, D) or (B, 1, T, D)."""
        batch, length, _ = x.shape
        q = self.q_proj(x).view(batch, length, self.heads, self.head_dim)
        k = self.k_proj(x).view(batch, length, self.kv_heads, self.head_dim)
        v = self.v_proj(x).view(batch, length, self.kv_heads, self.head_dim).transpose(1, 2)
        if self.has_norms:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = q.transpose(1, 2), k.transpose(1, 2)  # (B, H, T, D), (B, K, T, D)
        if angles is not None:
            q, k = rotate(q, *angles), rotate(k, *angles)
        out = attend(q, k, v, mask) if cache is None else cache.attend(q, k, v)
        mixed: Tensor = self.o_proj(out.transpose(1, 2).reshape(batch, length, -1))
        return mixed


def attend(q: Tensor, k: Tensor, v: Tensor, mask: AttentionMask) -> Tensor:
    """Scaled dot-product attention: (B, H, T, D) and twice (B, K, S, D) to (B, H, T, D)."""
    shares = q.shape[1] != k.shape[1]
    if isinstance(mask, BlockMask):
        out: Tensor = _flex_attention(q.is_cuda)(q, k, v, block_mask=mask, enable_gqa=shares)
        return out
    if mask is None and is_block_attention_faster(q, k):
        return block_attention(q, k, v)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=shares
    )


@cache
def _flex_attention(compiled: bool) -> Callable[..., Any]:
    """FlexAttention; it is fast only as a compiled kernel, and compiled once for all layers."""
    function: Callable[..., Any] = flex_attention
    return torch.compile(function) if compiled else function
