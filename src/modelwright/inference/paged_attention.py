"""Attention over the blocks of the cache, with plain PyTorch.

Shapes in comments: N tokens of a step, R sequences that run one token, H query heads, K key/value
heads, D width of a head, T tokens of one sequence, S tokens attended to.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from modelwright.inference.block_manager import BLOCK_SIZE
from modelwright.inference.kv_cache import KVCache, blocks_for, table_of
from modelwright.inference.step_layout import StepLayout


@dataclass
class Chunk:
    """Several tokens of one sequence.

    Attributes
    ----------
    first : int
        Which of the step's tokens is its first.
    start, count : int
        Position of that token in its sequence, and how many there are (T).
    blocks : Tensor
        The sequence's blocks as far as they are filled, int64.
    """

    first: int
    start: int
    count: int
    blocks: Tensor
    _masks: dict[int | None, Tensor | None] = field(default_factory=dict)

    def mask(self, window: int | None) -> Tensor | None:
        """True where a token may look (T, S); None where that is all before it from 0 on."""
        if window not in self._masks:
            self._masks[window] = self._new_mask(window)
        return self._masks[window]

    def _new_mask(self, window: int | None) -> Tensor | None:
        end = self.start + self.count
        if not self.start and (window is None or window >= end):
            return None
        keys = torch.arange(end, device=self.blocks.device)
        queries = keys[self.start :, None]
        seen = keys <= queries
        return seen if window is None else seen & (keys > queries - window)


class TensorLayout:
    """A step's layout as tensors.

    Parameters
    ----------
    layout : StepLayout
        What the step runs.
    device : torch.device
        The model's.

    Attributes
    ----------
    tokens, positions, slots : Tensor
        Ids, places in their sequences and places in the cache of all tokens (N,), int64.
    singles : int
        R: how many of the tokens, from the first on, are alone of their sequences.
    table : Tensor
        Block tables (R, longest), int64.
    lengths : Tensor
        Tokens that each of these attends to, itself included (R,), int64.
    chunks : list of Chunk
        The other sequences.
    """

    def __init__(self, layout: StepLayout, device: torch.device):
        self.tokens = torch.tensor(layout.tokens, device=device)
        self.positions = torch.tensor(layout.positions, device=device)
        self.slots = torch.tensor(layout.slots, device=device)
        self.singles = sum(part.count == 1 for part in layout.parts)
        self.lengths = self.positions[: self.singles] + 1
        tables = layout.blocks[: self.singles]
        self.table = table_of(tables, device) if tables else self.slots[:0, None]
        self.chunks: list[Chunk] = []
        first = self.singles
        for part in layout.parts[self.singles :]:
            filled = part.sequence.blocks[: blocks_for(part.end)]
            blocks = torch.tensor(filled, device=device)
            self.chunks.append(Chunk(first, part.start, part.count, blocks))
            first += part.count
        self._masks = dict[int | None, Tensor]()

    def mask(self, window: int | None) -> Tensor:
        """True where the single tokens may look, (R, 1, 1, S) with whole blocks."""
        if window not in self._masks:
            keys = torch.arange(self.table.shape[1] * BLOCK_SIZE, device=self.table.device)
            seen = keys < self.lengths[:, None]
            if window is not None:
                seen &= keys >= self.lengths[:, None] - window
            self._masks[window] = seen[:, None, None]
        return self._masks[window]


class PagedLayer:
    """One layer's cache during one step.

    Parameters
    ----------
    keys, values : Tensor
        The layer's (blocks, BLOCK_SIZE, K, D).
    layout : TensorLayout
        Of the step.
    window : int, optional
        How many tokens a token sees in this layer, itself included.
    """

    def __init__(self, keys: Tensor, values: Tensor, layout: TensorLayout, window: int | None):
        self.keys, self.values = keys, values
        self.layout, self.window = layout, window

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Store new keys and values (1, K, N, D); what queries (1, H, N, D) find, in their shape.

        All are stored before any is looked at, so that sequences which share blocks may run in
        the same step.
        """
        self._store(self.keys, keys)
        self._store(self.values, values)
        found = torch.empty_like(queries)
        if self.layout.singles:
            single = slice(0, self.layout.singles)
            found[:, :, single] = self._attend_singles(queries[:, :, single])
        for chunk in self.layout.chunks:
            own = slice(chunk.first, chunk.first + chunk.count)
            found[:, :, own] = self._attend_chunk(
                chunk, queries[:, :, own], keys[:, :, own], values[:, :, own]
            )
        return found

    def _store(self, cache: Tensor, new: Tensor) -> None:
        cache.view(-1, *cache.shape[2:]).index_copy_(0, self.layout.slots, new[0].transpose(0, 1))

    def _attend_singles(self, queries: Tensor) -> Tensor:
        table, mask = self.layout.table, self.layout.mask(self.window)
        keys = self.keys[table].flatten(1, 2).transpose(1, 2)  # (R, K, S, D)
        values = self.values[table].flatten(1, 2).transpose(1, 2)
        # Others' blocks are among them, and 0 · NaN is NaN.
        for copied in (keys, values):
            copied.masked_fill_(~mask.transpose(2, 3), 0)
        return _attention(queries.transpose(0, 2), keys, values, mask).transpose(0, 2)

    def _attend_chunk(self, chunk: Chunk, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        if chunk.start:
            end = chunk.start + chunk.count
            keys = self.keys[chunk.blocks].flatten(0, 1)[:end].transpose(0, 1)[None]
            values = self.values[chunk.blocks].flatten(0, 1)[:end].transpose(0, 1)[None]
        return _attention(queries, keys, values, chunk.mask(self.window))


def layers_of(cache: KVCache, layout: TensorLayout, windows: list[int | None]) -> list[PagedLayer]:
    """What the model's layers write to and read from in one step; ``windows`` as in the config."""
    return [
        PagedLayer(keys, values, layout, window)
        for keys, values, window in zip(cache.keys, cache.values, windows, strict=True)
    ]


def _attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    return F.scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=mask,
        is_causal=mask is None,
        enable_gqa=queries.shape[1] != keys.shape[1],
    )
