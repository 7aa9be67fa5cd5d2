"""How the kernels write keys and values to the cache, and read them: as they are, or rounded.

Rounded ones are integers from -127 to 127 with one scale for each token and head, so that a token's
do not depend on what else is in the cache. They are written before any is read, so that a token
attends to its own as all later ones will.

Shapes in comments: D width of a head, K key/value heads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from modelwright.inference.kernels.compiled import compiled
from modelwright.inference.kernels.functions import copy, dot

LARGEST, LEAST = 127, np.float32(1e-30)
"""The largest integer, and what is taken for 0: 1 / x of less is not finite."""


class Cache(NamedTuple):
    """Keys and values of all layers, those of a block and head side by side, as they are read.

    Attributes
    ----------
    keys, values : float32 or int8 (layers, blocks, K, BLOCK_SIZE, D)
    key_scales, value_scales : float32 (layers, blocks, K, BLOCK_SIZE)
        Without blocks for float32.
    """

    keys: NDArray[Any]
    values: NDArray[Any]
    key_scales: NDArray[np.float32]
    value_scales: NDArray[np.float32]


def put(x: Any, cache: Any, scales: Any, block: int, place: int, head: int) -> None:
    """Write x, float32 (D,), to a place of one layer's keys or values."""
    raise NotImplementedError("only in compiled code")


@overload(put)
def _put(x: Any, cache: Any, scales: Any, block: Any, place: Any, head: Any) -> Any:
    def as_it_is(x: Any, cache: Any, scales: Any, block: Any, place: Any, head: Any) -> None:
        copy(x, cache[block, head, place])

    def rounded(x: Any, cache: Any, scales: Any, block: Any, place: Any, head: Any) -> None:
        scales[block, head, place] = _round(x, cache[block, head, place])

    return rounded if cache.dtype == types.int8 else as_it_is


@compiled()
def _round(x, out):
    """Write x as integers; returns their scale, which is NaN if x · x is not finite."""
    largest = np.float32(0)
    for value in x:
        largest = max(largest, abs(value))
    inverse = np.float32(0)
    if largest > LEAST:
        inverse = np.float32(LARGEST) / largest
    at = x.ctypes.data
    is_finite = np.isfinite(dot(at, at, x.shape[0]))
    for index in range(x.shape[0]):
        out[index] = np.int8(np.rint(x[index] * inverse)) if is_finite else 0
    return largest / np.float32(LARGEST) if is_finite else np.float32(np.nan)


def readable(
    cache: Any, scales: Any, head: int, blocks: Any, first: int, end: int, room: Any
) -> Any:
    """One layer's keys or values of a text and a head, float32, and where in them to look.

    Parameters
    ----------
    cache, scales : as in :class:`Cache`, of one layer
    head : int
        Which of the K.
    blocks : int (≥ end,)
        The text's block table.
    first, end : int
        Which of its blocks are read: from the first to before the second.
    room : float32 (≥ end, 1, BLOCK_SIZE, D)
        Where those that are rounded are multiplied out.

    Returns
    -------
    float32 (blocks, heads, BLOCK_SIZE, D), int, int (≥ end,)
        Blocks, the head in them, and a block table.
    """
    raise NotImplementedError("only in compiled code")


@overload(readable)
def _readable(
    cache: Any, scales: Any, head: Any, blocks: Any, first: Any, end: Any, room: Any
) -> Any:
    def as_it_is(
        cache: Any, scales: Any, head: Any, blocks: Any, first: Any, end: Any, room: Any
    ) -> Any:
        return cache, head, blocks

    def multiplied(
        cache: Any, scales: Any, head: Any, blocks: Any, first: Any, end: Any, room: Any
    ) -> Any:
        for number in range(first, end):
            block = blocks[number]
            for place in range(cache.shape[2]):
                _multiply(
                    cache[block, head, place], scales[block, head, place], room[number, 0, place]
                )
        return room, 0, np.arange(end)

    return multiplied if cache.dtype == types.int8 else as_it_is


@compiled()
def _multiply(x, scale, out):
    for index in range(x.shape[0]):
        out[index] = np.float32(x[index]) * scale
