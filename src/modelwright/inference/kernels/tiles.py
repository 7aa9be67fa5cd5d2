"""Matrix products, in LLVM's language: tiles of a few outputs of a few rows, and loops over them.

Each output of each row is summed up in the same order whatever else is in the tile, so that a text
gets the same bits alone and in company. The order: vectors along the width one after the other into
one accumulator, and its lanes at the end.

Weights are float32, bfloat16, or integers with a scale:

- int8: one byte each, one scale an output. Inputs are integers of 16 bits, up to
  ``LARGEST_INPUT`` in size, with one scale a row, sums are exact.
- int4: byte j of the 16 of a group holds weight j of the group in its lower and j + 16 in its upper
  half, two's complement; one scale for each group of 32. Inputs as for int8; sums of a group are
  exact, and added in float32.

Those in float32 are read where the model has them, row after row. The others are laid out as they
are read: of :data:`OUTPUTS` rows together, what one step reads of the first, the second, ..., then
what the next step reads. So the memory gives one stream, which it does fastest.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from modelwright.inference.kernels.vectors import (
    ALL_FLOATS,
    FLOAT,
    INT8,
    INT16,
    INT32,
    INT64,
    LANES,
    Builder,
    Value,
    address,
    constant,
    load,
    multiply_add,
    prefetch,
    products_of_pairs,
    splat,
    store,
    totals,
    vector,
)

LARGEST_INPUT = 4095
"""Of quantized inputs. A lane sums up width / LANES products with a weight of up to 127, which fits
into 32 bits for widths up to 32,768."""

GROUP = 32
"""Weights that share a scale in int4."""

OUTPUTS, ROWS = 4, 2
"""Of the largest tile: its sums, weights and inputs fit into the 16 registers of most CPUs."""

PREFETCH = 8
"""How many tiles ahead weights are fetched."""

LINE = 64
"""Bytes that the memory gives at once."""


class Operands:
    """What a tile is given: addresses and distances in bytes, all int64.

    ``weight`` and ``scale`` are the first output's, ``x``, ``x_scale`` and ``y`` the first row's.
    """

    def __init__(self, arguments: list[Value]):
        self.weight, self.weight_stride, self.scale, self.scale_stride = arguments[:4]
        self.x, self.x_stride, self.x_scale, self.y, self.y_stride, self.width = arguments[4:]


class Float32:
    """Weights in float32."""

    step, is_integer, is_interleaved = LANES, False, False
    sums = ALL_FLOATS
    bits = 32

    def inputs(self, builder: Builder, x: Value, index: Value) -> list[Value]:
        """The vectors of a row from ``index`` on, for one step."""
        return [load(builder, address(builder, x, index, 4), ALL_FLOATS)]

    def weights(self, builder: Builder, weight: Value, index: Value) -> list[Value]:
        """The vectors of an output's weights, likewise."""
        return [load(builder, address(builder, weight, index, 4), ALL_FLOATS)]

    def add(self, builder: Builder, sums: Value, weights: Any, inputs: Any, scale: Value) -> Value:
        """The sums with what this step adds to them; ``scale`` is the address of the output's."""
        return multiply_add(builder, weights[0], inputs[0], sums)


class BFloat16(Float32):
    """Weights in bfloat16, the upper half of a float32."""

    is_interleaved = True
    bits = 16

    def weights(self, builder: Builder, weight: Value, index: Value) -> list[Value]:
        half = load(builder, address(builder, weight, index, 2), vector(INT16, LANES))
        wide = builder.zext(half, vector(INT32, LANES))
        return [builder.bitcast(builder.shl(wide, constant(INT32, LANES, 16)), ALL_FLOATS)]


class Int8:
    """Weights in int8."""

    step, is_integer, is_interleaved = 2 * LANES, True, True
    sums = vector(INT32, LANES)
    bits = 8

    def inputs(self, builder: Builder, x: Value, index: Value) -> list[Value]:
        return [load(builder, address(builder, x, index, 2), vector(INT16, 2 * LANES))]

    def weights(self, builder: Builder, weight: Value, index: Value) -> list[Value]:
        narrow = load(builder, builder.add(weight, index), vector(INT8, 2 * LANES))
        return [builder.sext(narrow, vector(INT16, 2 * LANES))]

    def add(self, builder: Builder, sums: Value, weights: Any, inputs: Any, scale: Value) -> Value:
        return builder.add(sums, products_of_pairs(builder, weights[0], inputs[0]))


class Int4:
    """Weights in int4, in groups."""

    step, is_integer, is_interleaved = GROUP, True, True
    sums = vector(FLOAT, GROUP // 4)
    bits = 4

    def inputs(self, builder: Builder, x: Value, index: Value) -> list[Value]:
        half = vector(INT16, GROUP // 2)
        low = address(builder, x, index, 2)
        high = builder.add(low, ir.Constant(INT64, GROUP))
        return [load(builder, low, half), load(builder, high, half)]

    def weights(self, builder: Builder, weight: Value, index: Value) -> list[Value]:
        count = GROUP // 2
        at = builder.add(weight, builder.lshr(index, ir.Constant(INT64, 1)))
        pairs = builder.sext(load(builder, at, vector(INT8, count)), vector(INT16, count))
        up = builder.shl(pairs, constant(INT16, count, 12))
        low = builder.ashr(up, constant(INT16, count, 12))
        return [low, builder.ashr(pairs, constant(INT16, count, 4))]

    def add(self, builder: Builder, sums: Value, weights: Any, inputs: Any, scale: Value) -> Value:
        exact = builder.add(
            products_of_pairs(builder, weights[0], inputs[0]),
            products_of_pairs(builder, weights[1], inputs[1]),
        )
        factor = splat(builder, load(builder, scale, FLOAT), self.sums.count)
        return multiply_add(builder, builder.sitofp(exact, self.sums), factor, sums)


def step_bytes(kind: Any) -> int:
    """Bytes that a step reads of an output's weights."""
    return int(kind.step * kind.bits // 8)


def make_tile(kind: Any, outputs: int, rows: int) -> Any:
    """A function for Numba's code that works out y[row, output] for so many of both.

    Its arguments are those of :class:`Operands`, in order.
    """

    @intrinsic
    def tile(context: Any, w: Any, ws: Any, s: Any, ss: Any, x: Any, xs: Any, xq: Any, y: Any,
             ys: Any, width: Any) -> Any:  # fmt: skip
        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
            builder.call(_tile_function(builder.module, kind, outputs, rows), arguments)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 10), generate

    return tile


def make_product(kind: Any) -> Any:
    """A function for Numba's code that works out y[row, output] for a run of outputs of all rows.

    Its arguments are those of :class:`Operands`, with the addresses of output 0, and then how many
    rows there are, the first output, and where the outputs end.
    """

    @intrinsic
    def product(context: Any, w: Any, ws: Any, s: Any, ss: Any, x: Any, xs: Any, xq: Any, y: Any,
                ys: Any, width: Any, rows: Any, first: Any, end: Any) -> Any:  # fmt: skip
        def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
            _product(builder, kind, *arguments)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 13), generate

    return product


def _product(builder: Builder, kind: Any, w: Value, ws: Value, s: Value, ss: Value, x: Value,
             xs: Value, xq: Value, y: Value, ys: Value, width: Value, rows: Value, first: Value,
             end: Value) -> None:  # fmt: skip
    def weights_of(output: Value) -> Value:
        if not kind.is_interleaved:
            return builder.add(w, builder.mul(output, ws))
        place = builder.urem(output, ir.Constant(INT64, OUTPUTS))
        panel = builder.add(w, builder.mul(builder.sub(output, place), ws))
        return address(builder, panel, place, step_bytes(kind))

    def run(outputs: int, at_once: int, output: Value, row: Value) -> None:
        arguments = [
            weights_of(output), ws,
            builder.add(s, builder.mul(output, ss)), ss,
            builder.add(x, builder.mul(row, xs)), xs, address(builder, xq, row, 4),
            builder.add(address(builder, y, output, 4), builder.mul(row, ys)), ys, width,
        ]  # fmt: skip
        builder.call(_tile_function(builder.module, kind, outputs, at_once), arguments)

    def loop(start: Value, stop: Value, step: int) -> Any:
        return cgutils.for_range_slice(builder, start, stop, ir.Constant(INT64, step), intp=INT64)

    def whole(start: Value, stop: Value, step: int) -> Value:
        """Where the last whole step ends."""
        return builder.sub(stop, builder.urem(builder.sub(stop, start), ir.Constant(INT64, step)))

    none = ir.Constant(INT64, 0)
    tiled, paired = whole(first, end, OUTPUTS), whole(none, rows, ROWS)
    with loop(first, tiled, OUTPUTS) as (output, _):
        with loop(none, paired, ROWS) as (row, _):
            run(OUTPUTS, ROWS, output, row)
        with loop(paired, rows, 1) as (row, _):
            run(OUTPUTS, 1, output, row)
    with loop(tiled, end, 1) as (output, _), loop(none, rows, 1) as (row, _):
        run(1, 1, output, row)


def _tile_function(module: Any, kind: Any, outputs: int, rows: int) -> Value:
    """The tile as a function of its own, compiled once however often it is called."""
    name = f"modelwright_{type(kind).__name__}_{outputs}_{rows}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT64] * 10), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block())
    _tile(builder, kind, outputs, rows, Operands(list(function.args)))
    builder.ret_void()
    return function


def _tile(builder: Builder, kind: Any, outputs: int, rows: int, given: Operands) -> None:
    def number(value: int) -> Value:
        return ir.Constant(INT64, value)

    def nth(base: Value, stride: Value, index: int) -> Value:
        return builder.add(base, builder.mul(stride, number(index)))

    between = number(step_bytes(kind)) if kind.is_interleaved else given.weight_stride
    weights = [nth(given.weight, between, output) for output in range(outputs)]
    scales = [nth(given.scale, given.scale_stride, output) for output in range(outputs)]
    xs = [nth(given.x, given.x_stride, row) for row in range(rows)]
    sums = [[cgutils.alloca_once(builder, kind.sums) for _ in xs] for _ in weights]
    for place in (place for output in sums for place in output):
        builder.store(ir.Constant(kind.sums, None), place)
    with cgutils.for_range_slice(
        builder, number(0), given.width, number(kind.step), intp=INT64
    ) as (index, _):
        at = builder.mul(index, number(OUTPUTS)) if kind.is_interleaved else index
        if rows == 1:
            _fetch_ahead(builder, kind, weights, at, given.weight_stride)
        inputs = [kind.inputs(builder, x, index) for x in xs]
        for output, weight in enumerate(weights):
            some = kind.weights(builder, weight, at)
            group = builder.udiv(index, number(GROUP))
            scale = address(builder, scales[output], group, 4)
            for row, place in enumerate(sums[output]):
                before = builder.load(place)
                builder.store(kind.add(builder, before, some, inputs[row], scale), place)
    for row in range(rows):
        vectors = [builder.load(output[row]) for output in sums]
        if kind.sums.element != FLOAT:
            vectors = [builder.sitofp(one, ALL_FLOATS) for one in vectors]
        values = totals(builder, vectors)
        if kind.sums.element != FLOAT:
            values = builder.fmul(values, load(builder, given.scale, vector(FLOAT, outputs)))
        if kind.is_integer:
            x_scale = load(builder, builder.add(given.x_scale, number(4 * row)), FLOAT)
            values = builder.fmul(values, splat(builder, x_scale, outputs))
        store(builder, values, nth(given.y, given.y_stride, row))


def _fetch_ahead(
    builder: Builder, kind: Any, weights: list[Value], index: Value, stride: Value
) -> None:
    """Weights that are read once come from the memory, which begins to fetch a row too late."""
    tiles = builder.mul(stride, ir.Constant(INT64, PREFETCH * len(weights)))
    bits = builder.mul(index, ir.Constant(INT64, kind.bits))
    ahead = builder.add(tiles, builder.lshr(bits, ir.Constant(INT64, 3)))
    if kind.is_interleaved:
        several = range(0, step_bytes(kind) * len(weights), LINE)
        starts = [builder.add(weights[0], ir.Constant(INT64, start)) for start in several]
    else:
        starts = weights
    for start in starts:
        prefetch(builder, builder.add(start, ahead))
