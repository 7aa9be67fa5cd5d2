"""Keys and values of all running sequences, in blocks; who holds which says ``block_manager.py``.

Shapes in comments: K key/value heads, D width of a head.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from modelwright.core.errors import UsageError
from modelwright.inference.block_manager import BLOCK_SIZE
from modelwright.models.config import TransformerConfig
from modelwright.models.device import free_memory_bytes
from modelwright.models.transformer import CausalLM


class KVCache:
    """Preallocated room for keys and values of every layer.

    Parameters
    ----------
    config : TransformerConfig
        Shape of the model.
    blocks : int
        How many blocks of ``BLOCK_SIZE`` tokens.
    device : torch.device
        Where to keep it.
    dtype : torch.dtype
        Number format; the model's own, or int8.

    Attributes
    ----------
    keys, values : Tensor
        (layers, blocks + 1, BLOCK_SIZE, K, D); the CPU kernels order a block in their own way. On
        a CPU, memory is taken as it is first written to.
    key_scales, value_scales : Tensor
        What integers are multiplied by, one number a token and head: float32 (layers, blocks + 1,
        BLOCK_SIZE, K); without blocks for other formats.
    scratch : int
        The last block, which is nobody's: steps of fixed shapes write their padding there.
    """

    def __init__(
        self, config: TransformerConfig, blocks: int, device: torch.device, dtype: torch.dtype
    ):
        self.scratch = blocks
        shape = (
            config.num_hidden_layers,
            blocks + 1,
            BLOCK_SIZE,
            config.num_key_value_heads,
            config.head_dim,
        )
        self.keys = _zeros(shape, device, dtype)
        self.values = _zeros(shape, device, dtype)
        scales = shape[:-1] if dtype == torch.int8 else (shape[0], 0, *shape[2:-1])
        self.key_scales = _zeros(scales, device, torch.float32)
        self.value_scales = _zeros(scales, device, torch.float32)


def _zeros(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    if device.type != "cpu" or 0 in shape:
        return torch.zeros(shape, device=device, dtype=dtype)
    # NumPy's take memory when they are written to, torch's at once.
    data = np.zeros(math.prod(shape) * dtype.itemsize, np.uint8)
    return torch.from_numpy(data).view(dtype).view(shape)


def blocks_for(tokens: int) -> int:
    """How many blocks so many tokens of one sequence take."""
    return -(-tokens // BLOCK_SIZE)


def slots_of(blocks: list[int], start: int, count: int) -> list[int]:
    """Where in the cache, taken as one row of places, the tokens from ``start`` on lie."""
    return [
        blocks[position // BLOCK_SIZE] * BLOCK_SIZE + position % BLOCK_SIZE
        for position in range(start, start + count)
    ]


def table_of(blocks: list[list[int]], device: torch.device) -> Tensor:
    """Block tables as one tensor (rows, longest) int64; what is missing is block 0."""
    longest = max(len(row) for row in blocks)
    return torch.tensor([row + [0] * (longest - len(row)) for row in blocks], device=device)


def block_bytes(config: TransformerConfig, dtype: torch.dtype) -> int:
    """Memory of a block of a model's cache."""
    head = config.head_dim * dtype.itemsize
    if dtype == torch.int8:
        head += torch.float32.itemsize  # the scale
    return 2 * config.num_hidden_layers * BLOCK_SIZE * config.num_key_value_heads * head


def cache_blocks(
    model: CausalLM, max_sequences: int, cache_tokens: int | None, per_block: int
) -> int:
    """How many blocks a model's cache should have.

    Parameters
    ----------
    model : CausalLM
        On its device, where the free memory counts.
    max_sequences : int
        How many sequences run at once.
    cache_tokens : int, optional
        Tokens there is to be room for; by default for ``max_sequences`` of full length, as far as
        half of the free memory allows.
    per_block : int
        Bytes that a block takes.

    Raises
    ------
    UsageError
        If a sequence of full length does not fit.
    """
    config = model.config
    least = blocks_for(config.max_position_embeddings)
    if cache_tokens is not None:
        if blocks_for(cache_tokens) < least:
            raise UsageError(
                f"a cache of {cache_tokens} tokens does not hold one sequence of the model's "
                f"context of {config.max_position_embeddings}",
                fix="give it at least that many",
            )
        return blocks_for(cache_tokens)
    device = model.model.embed_tokens.weight.device
    affordable = free_memory_bytes(device) // 2 // per_block
    return max(least, min(max_sequences * least, affordable))
