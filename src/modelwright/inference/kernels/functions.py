"""What happens to vectors between the products."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from modelwright.inference.kernels.compiled import compiled
from modelwright.inference.kernels.tiles import Float32
from modelwright.inference.kernels.vectors import FLOAT, INT64, Builder, Value, total


@intrinsic
def dot(context: Any, x: Any, y: Any, width: Any) -> Any:
    """The product of two rows of float32 at those addresses, in the order of the tiles."""

    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        kind, (x, y, width) = Float32(), arguments
        sums = cgutils.alloca_once_value(builder, ir.Constant(kind.sums, None))
        start, step = ir.Constant(INT64, 0), ir.Constant(INT64, kind.step)
        with cgutils.for_range_slice(builder, start, width, step, intp=INT64) as (index, _):
            inputs = kind.inputs(builder, x, index), kind.inputs(builder, y, index)
            builder.store(kind.add(builder, builder.load(sums), *inputs, start), sums)
        return total(builder, builder.load(sums))

    return types.float32(types.int64, types.int64, types.int64), generate


LOG2_E = np.float32(1.4426950408889634)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
"""ln 2 in two parts, the first of which has few bits (Cody and Waite 1980)."""

LEAST_EXPONENT = np.float32(-87.0)
"""exp of less is nearly 0 and no normal number."""


@intrinsic
def _float_of(context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        return builder.bitcast(builder.trunc(arguments[0], ir.IntType(32)), FLOAT)

    return types.float32(types.int64), generate


@compiled(inline="always")
def exponential(x):
    """e^x for x ≤ 88, to 2e-7 of it; in loops it becomes vector code, as the library's does not.

    2^n · e^r with n whole and |r| ≤ ln 2 / 2, e^r by its series up to r^7 / 7!.
    """
    x = max(x, LEAST_EXPONENT)
    n = np.rint(x * LOG2_E)
    r = x - n * LN2_HIGH - n * LN2_LOW
    one = np.float32(1)
    series = one + r * np.float32(1 / 7)
    series = one + r * np.float32(1 / 6) * series
    series = one + r * np.float32(1 / 5) * series
    series = one + r * np.float32(1 / 4) * series
    series = one + r * np.float32(1 / 3) * series
    series = one + r * np.float32(1 / 2) * series
    series = one + r * series
    return series * _float_of((np.int32(n) + 127) << 23)


@compiled()
def copy(x, out):
    """Write x over out."""
    for index in range(x.shape[0]):
        out[index] = x[index]


@compiled()
def fill(x, value):
    """Write the value over all of x."""
    for index in range(x.shape[0]):
        x[index] = value


@compiled()
def multiply(x, factor):
    """Multiply x in place."""
    for index in range(x.shape[0]):
        x[index] *= factor


@compiled()
def rms_norm(x, weight, epsilon, out):
    """Write x / √(mean x² + ε) · weight, all float32 (width,) but ε."""
    width = x.shape[0]
    square = dot(x.ctypes.data, x.ctypes.data, width)
    factor = np.float32(1) / np.sqrt(square / np.float32(width) + epsilon)
    for index in range(width):
        out[index] = x[index] * factor * weight[index]


@compiled()
def rotate(x, cos, sin):
    """Turn a head (D,) by its position's angles (D,), in place; as ``models/rotary.py``."""
    half = x.shape[0] // 2
    for index in range(half):
        first, second = x[index], x[half + index]
        x[index] = first * cos[index] - second * sin[index]
        x[half + index] = second * cos[half + index] + first * sin[half + index]


@compiled()
def silu_times(gate, up, first, end):
    """Write silu(gate) · up over gate, from ``first`` to before ``end``."""
    for index in range(first, end):
        x = gate[index]
        gate[index] = x / (np.float32(1) + exponential(min(-x, np.float32(87)))) * up[index]
