"""How threads that run the same kernel wait for each other."""

from __future__ import annotations

import os
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from modelwright.inference.kernels.compiled import compiled
from modelwright.inference.kernels.vectors import INT32, INT64, Builder, Value

CAN_YIELD = os.name == "posix"
"""Whether a thread that waits can let another run; without that, only one is used."""

SPINS = 2000
"""How often a thread looks before it lets others run: about the time of a short wait."""


@intrinsic
def _add_one(context: Any, at: Any) -> Any:
    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        place = builder.inttoptr(arguments[0], INT64.as_pointer())
        return builder.atomic_rmw("add", place, ir.Constant(INT64, 1), "seq_cst")

    return types.int64(types.int64), generate


@intrinsic
def _read(context: Any, at: Any) -> Any:
    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        place = builder.inttoptr(arguments[0], INT64.as_pointer())
        return builder.load_atomic(place, "seq_cst", 8, typ=INT64)

    return types.int64(types.int64), generate


@intrinsic
def _yield(context: Any) -> Any:
    def generate(context: Any, builder: Builder, signature: Any, arguments: Any) -> Value:
        if CAN_YIELD:
            kind = ir.FunctionType(INT32, [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate


@compiled()
def wait_for_all(counter: int, threads: int) -> None:
    """Return when all threads have come here.

    ``counter`` is the address of an int64 that begins at 0 and counts all arrivals ever.
    """
    if threads == 1:
        return
    mine = _add_one(counter)
    everybody = (mine // threads + 1) * threads
    spins = 0
    while _read(counter) < everybody:
        spins += 1
        if spins > SPINS:
            _yield()
