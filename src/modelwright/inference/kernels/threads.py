"""How threads that run the same kernel wait for each other.

Two int64 lie at the address that all of them know, both 0 at first: how often any of them has come
to a place where they wait for each other, and how many kernels have begun.
"""

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

YIELDS = 1000
"""How often it looks after that for the next kernel, before it sleeps."""


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
def begin_together(counters: int, thread: int) -> None:
    """Let the others begin, if this is the first thread."""
    if thread == 0:
        _add_one(counters + 8)


@compiled()
def wait_for_all(counters: int, threads: int) -> None:
    """Return when all threads have come here."""
    if threads == 1:
        return
    mine = _add_one(counters)
    everybody = (mine // threads + 1) * threads
    spins = 0
    while _read(counters) < everybody:
        spins += 1
        if spins > SPINS:
            _yield()


@compiled()
def end_together(counters: int, thread: int, threads: int) -> None:
    """Return when all are here; but the first thread, they look out for the next kernel a while.

    It often comes at once, and sleeping and being woken takes 50 to 100 µs.
    """
    begun = _read(counters + 8)  # the next cannot begin before all have come to the next line
    wait_for_all(counters, threads)
    if thread > 0:
        look_out(counters, begun)


@compiled(cache=True)
def look_out(counters: int, begun: int) -> None:
    """Wait until more kernels than that have begun, or for about 0.3 ms."""
    for spins in range(SPINS + YIELDS):
        if _read(counters + 8) > begun:
            return
        if spins > SPINS:
            _yield()
