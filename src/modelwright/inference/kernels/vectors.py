"""LLVM instructions on vectors, from which the kernels are built.

Numba leaves it to LLVM to find vectors in loops, which it does not do for sums of products of small
integers, nor in an order that stays the same. So the inner loops are written down here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils

# llvmlite and Numba have no type hints.
Builder = Any
Value = Any

LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8
"""Numbers of 32 bits in a vector."""

INT8, INT16, INT32, INT64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
FLOAT = ir.FloatType()


def vector(element: Any, count: int) -> Any:
    """The type of so many elements."""
    return ir.VectorType(element, count)


ALL_FLOATS = vector(FLOAT, LANES)


def address(builder: Builder, base: Value, index: Value, stride: int) -> Value:
    """Of the element ``index`` behind ``base``, ``stride`` bytes each."""
    return builder.add(base, builder.mul(index, ir.Constant(INT64, stride)))


def load(builder: Builder, at: Value, kind: Any) -> Value:
    """What lies at an address, which needs no alignment."""
    value = builder.load(builder.inttoptr(at, kind.as_pointer()), typ=kind)
    value.align = 1
    return value


def store(builder: Builder, value: Value, at: Value) -> None:
    """Write to an address, which needs no alignment."""
    builder.store(value, builder.inttoptr(at, value.type.as_pointer())).align = 1


def prefetch(builder: Builder, at: Value) -> None:
    """Ask for what lies at an address, which may be none of ours."""
    pointer = builder.inttoptr(at, INT8.as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [INT8.as_pointer(), INT32, INT32, INT32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    to_read, often, data = (ir.Constant(INT32, number) for number in (0, 3, 1))
    builder.call(function, [pointer, to_read, often, data])


def constant(element: Any, count: int, value: int) -> Value:
    """The same number in all lanes."""
    return ir.Constant(vector(element, count), [value] * count)


def splat(builder: Builder, scalar: Value, count: int) -> Value:
    """A scalar in all lanes."""
    nothing = ir.Constant(vector(scalar.type, count), ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(INT32, 0))
    return builder.shuffle_vector(first, nothing, constant(INT32, count, 0))


def multiply_add(builder: Builder, x: Value, y: Value, z: Value) -> Value:
    """The rounded value of x · y + z, float32."""
    kind = ir.FunctionType(x.type, [x.type] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{x.type.count}f32")
    return builder.call(function, [x, y, z])


def products_of_pairs(builder: Builder, x: Value, y: Value) -> Value:
    """From 2n integers of 16 bits each, n sums of two products in 32 bits.

    One instruction on x86 (pmaddwd); LLVM finds it in this form.
    """
    count = x.type.count
    wide = vector(INT32, count)
    products = builder.mul(builder.sext(x, wide), builder.sext(y, wide))
    even = _chosen(builder, products, range(0, count, 2))
    odd = _chosen(builder, products, range(1, count, 2))
    return builder.add(even, odd)


def rounded(builder: Builder, x: Value) -> Value:
    """The nearest whole numbers, float32."""
    kind = ir.FunctionType(x.type, [x.type])
    name = f"llvm.nearbyint.v{x.type.count}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [x])


def added(builder: Builder, x: Value, y: Value) -> Value:
    """The sum, float32."""
    return builder.fadd(x, y)


def total(builder: Builder, floats: Value, joined: Callable[..., Value] = added) -> Value:
    """The sum of all lanes, halves onto halves; or what else joins two."""
    result = totals(builder, [floats], joined)
    return builder.extract_element(result, ir.Constant(INT32, 0))


def totals(builder: Builder, vectors: list[Value], joined: Callable[..., Value] = added) -> Value:
    """A vector of the sums of each one's lanes, each as :func:`total` has it.

    While there are several, two are halved into one, which has both's halves side by side: half the
    instructions. There have to be a power of two of them, and no more than lanes.
    """
    length, parts = vectors[0].type.count, 1
    while length > 1:
        length //= 2
        if len(vectors) > 1:
            pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
            parts *= 2
        else:
            pairs = [(vectors[0], None)]
        low = [2 * length * part + lane for part in range(parts) for lane in range(length)]
        high = [lane + length for lane in low]
        vectors = [
            joined(builder, _chosen(builder, x, low, y), _chosen(builder, x, high, y))
            for x, y in pairs
        ]
    return vectors[0]


def _chosen(builder: Builder, x: Value, lanes: Sequence[int], y: Value | None = None) -> Value:
    """Those lanes of x, or of x with y behind it."""
    mask = ir.Constant(vector(INT32, len(lanes)), list(lanes))
    return builder.shuffle_vector(x, ir.Constant(x.type, ir.Undefined) if y is None else y, mask)
