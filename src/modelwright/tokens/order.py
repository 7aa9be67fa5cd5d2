"""The order of training windows, as a pure function of seed, epoch and index.

A Feistel network permutes numbers without storing anything (Luby and Rackoff 1988; cycle walking
as in Black and Rogaway 2002), so training resumes exactly with nothing kept but a position.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

ROUNDS = 4


@dataclass(frozen=True)
class Permutation:
    """A pseudo-random permutation of ``0 … size-1``.

    Attributes
    ----------
    size : int
        How many numbers are permuted; at least 1.
    seed, epoch : int
        Another pair gives another permutation.
    """

    size: int
    seed: int
    epoch: int

    def __getitem__(self, index: int) -> int:
        """Where ``index`` (0 … size-1) goes."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        half_bits = max(1, ((self.size - 1).bit_length() + 1) // 2)
        value = index
        # Walk until we land inside: the network permutes the next power of four.
        while True:
            value = self._network(value, half_bits)
            if value < self.size:
                return value

    def _network(self, value: int, half_bits: int) -> int:
        mask = (1 << half_bits) - 1
        left, right = value >> half_bits, value & mask
        for round_number in range(ROUNDS):
            mixed = keyed_hash(self.seed, self.epoch, round_number, right) & mask
            left, right = right, left ^ mixed
        return (left << half_bits) | right


def keyed_hash(*numbers: int) -> int:
    """A 64-bit hash of integers, the same on every machine."""
    data = b"".join(number.to_bytes(8, "little", signed=True) for number in numbers)
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
