"""Packing: examples of different lengths put together into rows of one length."""

from __future__ import annotations

from collections.abc import Sequence

from modelwright.core.errors import InputError


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Put items into as few bins as best-fit decreasing finds.

    The longest items go first, each into the fullest bin that it still fits in. That takes little
    more than 11/9 of the fewest possible bins (Johnson et al. 1974,
    https://doi.org/10.1137/0203025). O(n log n + n log capacity), by a tree over the room that is
    left.

    Parameters
    ----------
    lengths : sequence of int
        Length of each item, from 0 to ``capacity``.
    capacity : int
        What a bin holds.

    Returns
    -------
    list of list of int
        The items in each bin, by number; the bins in the order in which they were opened.

    Raises
    ------
    InputError
        If an item is longer than a bin.
    """
    bins = list[list[int]]()
    open_bins = _OpenBins(capacity)
    for item in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        length = lengths[item]
        if length > capacity:
            raise InputError(
                f"item {item} has length {length}, and a row holds {capacity}",
                fix="leave out what is longer than a row",
            )
        room = open_bins.smallest_room(length)
        if room is None:
            number, room = len(bins), capacity
            bins.append([])
        else:
            number = open_bins.take(room)
        bins[number].append(item)
        open_bins.put(number, room - length)
    return bins


class _OpenBins:
    """Bins by the room that is left in them, in a binary tree over all amounts of room.

    ``counts[1]`` is the root and ``counts[leaves + room]`` the number of bins with so much room.
    """

    def __init__(self, capacity: int):
        self.leaves = 1 << capacity.bit_length()
        self.counts = [0] * (2 * self.leaves)
        self.bins: list[list[int]] = [[] for _ in range(capacity + 1)]

    def put(self, number: int, room: int) -> None:
        self.bins[room].append(number)
        self._add(room, 1)

    def take(self, room: int) -> int:
        """Remove a bin with exactly this room."""
        self._add(room, -1)
        return self.bins[room].pop()

    def smallest_room(self, least: int) -> int | None:
        """The smallest room of an open bin that is not below ``least``."""
        node = self.leaves + least
        if not self.counts[node]:
            # Up until a right neighbour holds a bin, and down to the first in it.
            while node > 1 and (node % 2 or not self.counts[node + 1]):
                node //= 2
            if node == 1:
                return None
            node += 1
            while node < self.leaves:
                node = 2 * node if self.counts[2 * node] else 2 * node + 1
        return node - self.leaves

    def _add(self, room: int, change: int) -> None:
        node = self.leaves + room
        while node:
            self.counts[node] += change
            node //= 2
