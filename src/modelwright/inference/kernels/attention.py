"""Attention of one or two query heads at a time over the blocks of the cache.

Shapes in comments: D width of a head, K key/value heads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from modelwright.inference.kernels.compiled import compiled
from modelwright.inference.kernels.functions import fill, multiply
from modelwright.inference.kernels.softmax import softmax
from modelwright.inference.kernels.tiles import OUTPUTS, Float32, make_tile
from modelwright.inference.kernels.vectors import (
    ALL_FLOATS,
    FLOAT,
    INT64,
    LANES,
    Builder,
    Value,
    address,
    load,
    multiply_add,
    splat,
    store,
)

SUMS = 8
"""Vectors that values are added up in at a time: they keep the multipliers busy, and fit."""

_score_one, _score_two = (make_tile(Float32(), OUTPUTS, count) for count in (1, 2))


@compiled()
def attend(
    queries, first, second, keys, values, head, blocks, length, step, window, scale, scores, out
):
    """What one or two queries of a sequence find with one key/value head.

    Every place is scored and added in the order of the text, so that the result depends neither on
    the other query nor on what else is in the step.

    Parameters
    ----------
    queries : float32 (queries, D)
        Of all tokens and heads.
    first, second : int
        Which of them; the same twice is one.
    keys, values : float32 (blocks, K, BLOCK_SIZE, D)
        One layer's.
    head : int
        Which of the K.
    blocks : int (≥ blocks of the sequence,)
        Its block table.
    length, step : int
        How many places the first knows, and how many more the second: 0 or 1.
    window : int
        They attend to the last so many.
    scale : float32
        Of the products, 1/√D.
    scores : float32 (2, ≥ places rounded up to blocks)
        Scratch.
    out : float32 (queries, D)
        Where to write, in the rows of the queries.
    """
    size, width = keys.shape[2], keys.shape[3]
    begin, later, last = max(0, length - window), max(0, length + step - window), length + step
    stride, row = keys.strides[2], scores.strides[0]
    query = queries.ctypes.data + first * queries.strides[0]
    distance = (second - first) * queries.strides[0]
    for number in range(begin // size, (last + size - 1) // size):
        block = keys[blocks[number], head].ctypes.data
        for place in range(0, size, OUTPUTS):
            key = block + place * stride
            to = scores.ctypes.data + 4 * (number * size + place)
            if distance:
                _score_two(key, stride, 0, 0, query, distance, 0, to, row, width)
            else:
                _score_one(key, stride, 0, 0, query, 0, 0, to, 0, width)
    total = softmax(scores[0], begin, length, size, scale)
    fill(out[first], np.float32(0))
    if distance:
        other_total = softmax(scores[1], later, last, size, scale)
        fill(out[second], np.float32(0))
        _add(scores, values, head, blocks, begin, later, out, first, first)
        _add(scores, values, head, blocks, later, length, out, first, second)
        _add(scores[1:], values, head, blocks, length, last, out, second, second)
        multiply(out[second], np.float32(1) / other_total)
    else:
        _add(scores, values, head, blocks, begin, length, out, first, first)
    multiply(out[first], np.float32(1) / total)


@compiled()
def _add(weights, values, head, blocks, begin, end, out, first, second):
    """Add the values of places times their weights to one or two rows of ``out``."""
    size, width = values.shape[2], values.shape[3]
    to = out.ctypes.data + first * out.strides[0]
    distance = (second - first) * out.strides[0]
    place = begin
    while place < end:
        until = min(end, (place // size + 1) * size)
        value = values[blocks[place // size], head, place % size].ctypes.data
        weight, stride = weights.ctypes.data + 4 * place, values.strides[2]
        if distance:
            _add_to_two(
                weight, weights.strides[0], value, stride, until - place, to, distance, width
            )
        else:
            _add_to_one(weight, 0, value, stride, until - place, to, 0, width)
        place = until


def _make_adder(rows: int) -> Any:
    """A function for Numba's code that adds weighted rows of ``values`` to so many of ``out``.

    Its arguments: address of the first row's weights and bytes to the second's, address of the
    first value and bytes to the next, how many there are, address of the first row of ``out`` and
    bytes to the second, and the width.
    """

    @intrinsic
    def adder(context: Any, weight: Any, next_weight: Any, value: Any, next_value: Any, places: Any,
              out: Any, next_out: Any, width: Any) -> Any:  # fmt: skip
        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
            width, columns = arguments[-1], SUMS // rows * LANES
            whole = builder.sub(width, builder.urem(width, ir.Constant(INT64, columns)))
            for start, stop, step in (
                (ir.Constant(INT64, 0), whole, columns), (whole, width, LANES)
            ):  # fmt: skip
                many = ir.Constant(INT64, step)
                with cgutils.for_range_slice(builder, start, stop, many, INT64) as (column, _):
                    _add_columns(builder, rows, step // LANES, column, *arguments[:-1])
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 8), generate

    return adder


def _add_columns(builder: Builder, rows: int, vectors: int, column: Value, weight: Value,
                 next_weight: Value, value: Value, next_value: Value, places: Value, out: Value,
                 next_out: Value) -> None:  # fmt: skip
    """Add so many vectors' columns of all places; the sums stay in registers."""

    def nth(base: Value, stride: Value, index: int) -> Value:
        return builder.add(base, builder.mul(stride, ir.Constant(INT64, index)))

    def at(base: Value, index: int) -> Value:
        return builder.add(address(builder, base, column, 4), ir.Constant(INT64, 4 * LANES * index))

    rows_of_out = [nth(out, next_out, row) for row in range(rows)]
    sums = [[cgutils.alloca_once(builder, ALL_FLOATS) for _ in range(vectors)] for _ in rows_of_out]
    for row, to in zip(sums, rows_of_out, strict=True):
        for index, place in enumerate(row):
            builder.store(load(builder, at(to, index), ALL_FLOATS), place)
    with cgutils.for_range(builder, places, intp=INT64) as loop:
        here = builder.add(value, builder.mul(loop.index, next_value))
        loaded = [load(builder, at(here, index), ALL_FLOATS) for index in range(vectors)]
        for number, row in enumerate(sums):
            share = address(builder, nth(weight, next_weight, number), loop.index, 4)
            factor = splat(builder, load(builder, share, FLOAT), LANES)
            for place, vector in zip(row, loaded, strict=True):
                before = builder.load(place)
                builder.store(multiply_add(builder, factor, vector, before), place)
    for row, to in zip(sums, rows_of_out, strict=True):
        for index, place in enumerate(row):
            store(builder, builder.load(place), at(to, index))


_add_to_one, _add_to_two = (_make_adder(rows) for rows in (1, 2))
