"""Products of rows with matrices of weights.

In compiled code a matrix is four numbers, int64: its format, and the addresses of the function that
multiplies with it, of its weights and of its scales; its shape comes with the model's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from modelwright.inference.kernels.compiled import compiled, compiled_address
from modelwright.inference.kernels.functions import dot
from modelwright.inference.kernels.tiles import (
    GROUP,
    LARGEST_INPUT,
    OUTPUTS,
    BFloat16,
    Float32,
    Int4,
    Int8,
    make_product,
)
from modelwright.inference.kernels.vectors import INT64, Builder, Value

FLOAT32, BFLOAT16, INT8, INT4 = 0, 1, 2, 3
"""Formats of weights."""

_ARGUMENTS = (types.int64,) * 13

_float32, _bfloat16 = make_product(Float32()), make_product(BFloat16())
_int8, _int4 = make_product(Int8()), make_product(Int4())


# Functions of their own behind addresses, so that each is compiled once, and not again with all
# that calls it.
def _multiply_float32(w, ws, s, ss, x, xs, xq, y, ys, width, rows, first, end):
    _float32(w, ws, s, ss, x, xs, xq, y, ys, width, rows, first, end)


def _multiply_bfloat16(w, ws, s, ss, x, xs, xq, y, ys, width, rows, first, end):
    _bfloat16(w, ws, s, ss, x, xs, xq, y, ys, width, rows, first, end)


def _multiply_int8(w, ws, s, ss, x, xs, xq, y, ys, width, rows, first, end):
    _int8(w, ws, s, ss, x, xs, xq, y, ys, width, rows, first, end)


def _multiply_int4(w, ws, s, ss, x, xs, xq, y, ys, width, rows, first, end):
    _int4(w, ws, s, ss, x, xs, xq, y, ys, width, rows, first, end)


_PRODUCTS: dict[int, Callable[..., None]] = {
    FLOAT32: _multiply_float32,
    BFLOAT16: _multiply_bfloat16,
    INT8: _multiply_int8,
    INT4: _multiply_int4,
}


@cache
def product_address(kind: int) -> int:
    """Where the product for a format of weights lies, compiled if it has not been yet."""
    return compiled_address(_PRODUCTS[kind], types.void(*_ARGUMENTS))


@intrinsic
def _call(context: Any, function: Any, w: Any, ws: Any, s: Any, ss: Any, x: Any, xs: Any,
          xq: Any, y: Any, ys: Any, width: Any, rows: Any, first: Any,
          end: Any) -> Any:  # fmt: skip
    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        kind = ir.FunctionType(ir.VoidType(), [INT64] * len(_ARGUMENTS))
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.int64, *_ARGUMENTS), generate


@compiled()
def share(count: int, thread: int, threads: int) -> tuple[int, int]:
    """Which of ``count`` things a thread does: from the first to before the second number."""
    tiles = (count + OUTPUTS - 1) // OUTPUTS
    first = tiles * thread // threads * OUTPUTS
    return first, min(tiles * (thread + 1) // threads * OUTPUTS, count)


@compiled()
def linear(matrix, width, outputs, x, quantized, scales, y, rows, thread, threads):
    """Work out this thread's share of y = x · Wᵀ, a run of outputs for all rows.

    Parameters
    ----------
    matrix : int64 (4,)
        W, (outputs, width).
    width, outputs : int
        Its shape; the width is a multiple of 32.
    x : float32 (≥ rows, ≥ width)
        Inputs, for floating-point weights.
    quantized, scales : int16 (≥ rows, ≥ width), float32 (≥ rows,)
        The same as :func:`quantize` makes them, for integers.
    y : float32 (≥ rows, ≥ outputs)
        Where to write.
    rows, thread, threads : int
        How many rows, and which of how many threads this is.
    """
    kind, w, s = matrix[0], matrix[2], matrix[3]
    first, end = share(outputs, thread, threads)
    at, stride = x.ctypes.data, x.strides[0]
    if kind >= INT8:
        at, stride = quantized.ctypes.data, quantized.strides[0]
    weight_stride, scale_stride = 4 * width, 0
    if kind == BFLOAT16:
        weight_stride = 2 * width
    elif kind == INT8:
        weight_stride, scale_stride = width, 4
    elif kind == INT4:
        weight_stride, scale_stride = width // 2, 4 * (width // GROUP)
    _call(
        matrix[1], w, weight_stride, s, scale_stride, at, stride, scales.ctypes.data,
        y.ctypes.data, y.strides[0], width, rows, first, end,
    )  # fmt: skip


@compiled(fastmath={"nnan", "nsz"})
def _largest(x):
    largest = np.float32(0)
    for value in x:
        largest = max(largest, abs(value))
    return largest


@compiled()
def quantize(x, width, rows, quantized, scales):
    """Round rows to integers of up to ``LARGEST_INPUT``, each with its own scale.

    A row with anything that is not finite gets NaN as its scale, so that it is seen.
    """
    for row in range(rows):
        largest = _largest(x[row, :width])
        scales[row] = largest / np.float32(LARGEST_INPUT)
        inverse = np.float32(0)
        if largest > 0:
            inverse = np.float32(LARGEST_INPUT) / largest
        for index in range(width):
            quantized[row, index] = np.int16(np.rint(x[row, index] * inverse))
        at = x[row].ctypes.data
        if not np.isfinite(dot(at, at, width)):
            scales[row] = np.nan
