"""Keys and values of all running sequences, one row (slot) each.

Shapes in comments: R rows of one step, T new tokens, K key/value heads, D width of a head,
S tokens attended to.
"""

from __future__ import annotations

import torch
from torch import Tensor

from modelwright.models.attention import LayerCache
from modelwright.models.config import TransformerConfig

_SMALLEST_LENGTH = 64


class KVCache:
    """Preallocated keys and values for every layer, grown by doubling to what is needed.

    Parameters
    ----------
    config : TransformerConfig
        Shape of the model.
    slots : int
        Most rows it may grow to.
    device : torch.device
        Where to keep it.
    dtype : torch.dtype
        Number format; the model's own.
    """

    def __init__(
        self, config: TransformerConfig, slots: int, device: torch.device, dtype: torch.dtype
    ):
        self.most_slots, self.context_length = slots, config.max_position_embeddings
        layers, heads, width = (
            config.num_hidden_layers,
            config.num_key_value_heads,
            config.head_dim,
        )
        # (layers, keys and values, slots, K, length, D)
        self._data = torch.zeros(layers, 2, 0, heads, 0, width, device=device, dtype=dtype)

    @property
    def slots(self) -> int:
        """Rows there is room for now."""
        return self._data.shape[2]

    @property
    def length(self) -> int:
        """Positions there is room for now in each row."""
        return self._data.shape[4]

    def reserve(self, slots: int, length: int) -> None:
        """Make room for that many rows and positions; what is stored is kept."""
        if slots <= self.slots and length <= self.length:
            return
        new_slots = min(max(_power_of_two(slots), self.slots), self.most_slots)
        new_length = max(_power_of_two(length), self.length, _SMALLEST_LENGTH)
        new_length = min(new_length, self.context_length)
        layers, two, old_slots, heads, old_length, width = self._data.shape
        data = self._data.new_zeros(layers, two, new_slots, heads, new_length, width)
        data[:, :, :old_slots, :, :old_length] = self._data
        self._data = data

    def step(self, slots: list[int], positions: Tensor, length: int) -> list[LayerCache]:
        """What the model's layers write to and read from in one forward pass.

        Parameters
        ----------
        slots : list of int
            The row of each sequence in the batch, (R,).
        positions : Tensor
            Where its new tokens go (R, T), int64.
        length : int
            S: positions 0 … S-1 are given back to attend to. The caller masks, for each row,
            those that hold nothing yet.
        """
        rows = torch.tensor(slots, device=self._data.device)
        # Neighbouring rows can be read in place; others are copied out at each layer.
        is_run = slots == list(range(slots[0], slots[0] + len(slots)))
        read: slice | Tensor = slice(slots[0], slots[0] + len(slots)) if is_run else rows
        return [
            _StepCache(layer[0], layer[1], rows[:, None], positions, read, length)
            for layer in self._data
        ]


class _StepCache:
    """One layer's cache during one step."""

    def __init__(
        self,
        keys: Tensor,
        values: Tensor,
        rows: Tensor,
        positions: Tensor,
        read: slice | Tensor,
        length: int,
    ):
        self.keys, self.values = keys, values  # (slots, K, length, D)
        self.rows, self.positions = rows, positions  # (R, 1), (R, T)
        self.read, self.length = read, length

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store new keys and values (R, K, T, D); return all to attend to (R, K, S, D)."""
        self.keys[self.rows, :, self.positions] = keys.transpose(1, 2)
        self.values[self.rows, :, self.positions] = values.transpose(1, 2)
        return (
            self.keys[self.read, :, : self.length],
            self.values[self.read, :, : self.length],
        )


def _power_of_two(number: int) -> int:
    return 1 << max(number - 1, 0).bit_length()
