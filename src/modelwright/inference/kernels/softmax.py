"""Weights of attention from scores."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from modelwright.inference.kernels.compiled import compiled
from modelwright.inference.kernels.functions import LEAST_EXPONENT, LN2_HIGH, LN2_LOW, LOG2_E
from modelwright.inference.kernels.vectors import (
    ALL_FLOATS,
    INT32,
    INT64,
    LANES,
    Builder,
    Value,
    address,
    constant,
    load,
    multiply_add,
    rounded,
    splat,
    store,
    total,
    vector,
)

LEAST_SCORE = float(np.finfo(np.float32).min)

INVERSE_FACTORIALS = tuple(1 / math.factorial(n) for n in range(8))


@compiled()
def softmax(scores, begin, end, multiple, scale):
    """Write e^((score - largest) · scale) over the scores, and return the sum of them.

    Only those from ``begin`` to before ``end`` count, but what else lies between the same multiples
    of ``multiple``, itself one of ``LANES``, is written over too.
    """
    start, stop = begin // multiple * multiple, (end + multiple - 1) // multiple * multiple
    for index in range(start, begin):
        scores[index] = LEAST_SCORE
    for index in range(end, stop):
        scores[index] = LEAST_SCORE
    return _softmax(scores.ctypes.data + 4 * start, stop - start, scale)


@intrinsic
def _softmax(context: Any, scores: Any, count: Any, scale: Any) -> Any:
    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        scores, count, scale = arguments
        start, step = ir.Constant(INT64, 0), ir.Constant(INT64, LANES)
        largest = cgutils.alloca_once_value(builder, _floats(LEAST_SCORE))
        with cgutils.for_range_slice(builder, start, count, step, intp=INT64) as (index, _):
            x = load(builder, address(builder, scores, index, 4), ALL_FLOATS)
            builder.store(_larger(builder, x, builder.load(largest)), largest)
        top = splat(builder, total(builder, builder.load(largest), _larger), LANES)
        factor = splat(builder, scale, LANES)
        sums = cgutils.alloca_once_value(builder, _floats(0))
        with cgutils.for_range_slice(builder, start, count, step, intp=INT64) as (index, _):
            at = address(builder, scores, index, 4)
            x = builder.fsub(load(builder, at, ALL_FLOATS), top)
            power = _exponential(builder, builder.fmul(x, factor))
            store(builder, power, at)
            builder.store(builder.fadd(builder.load(sums), power), sums)
        return total(builder, builder.load(sums))

    return types.float32(types.int64, types.int64, types.float32), generate


def _floats(value: float | np.float32) -> Value:
    """The same number in all lanes."""
    return ir.Constant(ALL_FLOATS, [float(value)] * LANES)


def _larger(builder: Builder, x: Value, y: Value) -> Value:
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


def _exponential(builder: Builder, x: Value) -> Value:
    """e^x in all lanes for x ≤ 0, as :func:`functions.exponential` has it; of NaN it is NaN."""
    too_little = builder.fcmp_ordered("<", x, _floats(LEAST_EXPONENT))
    x = builder.select(too_little, _floats(LEAST_EXPONENT), x)
    n = rounded(builder, builder.fmul(x, _floats(LOG2_E)))
    r = multiply_add(builder, n, _floats(-LN2_HIGH), x)
    r = multiply_add(builder, n, _floats(-LN2_LOW), r)
    series = _floats(INVERSE_FACTORIALS[-1])
    for coefficient in reversed(INVERSE_FACTORIALS[:-1]):
        series = multiply_add(builder, series, r, _floats(coefficient))
    whole = builder.add(builder.fptosi(n, vector(INT32, LANES)), constant(INT32, LANES, 127))
    power_of_two = builder.bitcast(builder.shl(whole, constant(INT32, LANES, 23)), ALL_FLOATS)
    return builder.fmul(series, power_of_two)
