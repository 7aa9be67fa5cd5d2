"""All layers of a decoder for the tokens of a step, each token on its own.

Shapes in comments: N tokens, C width of the residual stream, I inside the feed-forward layer, H
query heads, K key/value heads, D width of a head, P threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelwright.inference.kernels.attention import attend
from modelwright.inference.kernels.cache import put, readable
from modelwright.inference.kernels.compiled import compiled
from modelwright.inference.kernels.functions import copy, rms_norm, rotate, silu_times
from modelwright.inference.kernels.linear import INT8, linear, quantize, share
from modelwright.inference.kernels.threads import begin_together, end_together, wait_for_all

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

QUERY, KEY, VALUE, OUTPUT, GATE, UP, DOWN = range(7)
"""Matrices of a layer."""


class Weights(NamedTuple):
    """A decoder as the kernel reads it.

    Attributes
    ----------
    matrices : int64 (layers, 7, 4)
        As ``linear.py`` reads them; what they point to has to outlive this.
    attention_norm, feed_forward_norm : float32 (layers, C)
    query_norm, key_norm : float32 (layers, D)
        Ignored unless ``has_head_norms``.
    final_norm : float32 (C,)
    cos, sin : float32 (positions, D)
    windows : int64 (layers,)
        How many tokens a token sees in each layer; a large number where all.
    heads, kv_heads, head_width, feed_forward_width : int
    epsilon : float32
    has_head_norms : bool
    """

    matrices: Integers
    attention_norm: Floats
    feed_forward_norm: Floats
    query_norm: Floats
    key_norm: Floats
    final_norm: Floats
    cos: Floats
    sin: Floats
    windows: Integers
    heads: int
    kv_heads: int
    head_width: int
    feed_forward_width: int
    epsilon: np.float32
    has_head_norms: bool


class Step(NamedTuple):
    """The tokens of one step.

    Attributes
    ----------
    positions, slots, rows : int64 (N,)
        Of each token: its place in its text, in the cache, and which row of ``blocks`` is its
        sequence's.
    blocks : int64 (sequences, longest)
        Block tables.
    """

    positions: Integers
    slots: Integers
    rows: Integers
    blocks: Integers


class Scratch(NamedTuple):
    """Room for what is worked out on the way.

    Attributes
    ----------
    stream, normed : float32 (P, N, C)
        Each thread has its own, so that threads wait for each other less often.
    quantized, scales : int16 (P, N, widest), float32 (P, N)
    queries, found : float32 (N, H · D)
    keys, values : float32 (N, K · D)
    gate, up : float32 (N, I)
    mixed : float32 (N, C)
    scores : float32 (P, 2, context rounded up to blocks)
    room : float32 (P, 2, blocks of the context, 1, BLOCK_SIZE, D)
        For keys and values that are rounded in the cache, of one text and head.
    low, change : float32 (P, N, rank), (P, N, widest)
        Of adapters. Each thread has its own: one may be at the next matrix already.
    """

    stream: Floats
    normed: Floats
    quantized: NDArray[np.int16]
    scales: Floats
    queries: Floats
    keys: Floats
    values: Floats
    found: Floats
    gate: Floats
    up: Floats
    mixed: Floats
    scores: Floats
    room: Floats
    low: Floats
    change: Floats


@compiled(cache=True)
def forward(weights, changes, step, scratch, embedded, cache, hidden, counters, thread, threads):
    """Run all layers; every thread calls this with its own number.

    Parameters
    ----------
    weights, step, scratch : Weights, Step, Scratch
        What to run, on what, and where.
    changes : int64 (layers, 7, 9)
        An adapter, as ``packed_adapter.py`` has it.
    embedded : float32 (N, C)
        Embeddings of the tokens.
    cache : Cache
        Where keys and values go.
    hidden : float32 (N, C)
        Where normalised hidden states are written.
    counters, thread, threads : int
        As ``threads.py`` has them.
    """
    begin_together(counters, thread)
    rows, width = embedded.shape
    queries_width = weights.heads * weights.head_width
    keys_width = weights.kv_heads * weights.head_width
    inner = weights.feed_forward_width
    stream, normed = scratch.stream[thread], scratch.normed[thread]
    quantized, scales = scratch.quantized[thread], scratch.scales[thread]
    mixed = scratch.mixed
    for row in range(rows):
        copy(embedded[row], stream[row])
    for layer in range(weights.matrices.shape[0]):
        matrices, adapted = weights.matrices[layer], changes[layer]
        for row in range(rows):
            rms_norm(
                stream[row], weights.attention_norm[layer], weights.epsilon, normed[row, :width]
            )
        if matrices[QUERY, 0] >= INT8:
            quantize(normed, width, rows, quantized, scales)
        for matrix, outputs, y in (
            (QUERY, queries_width, scratch.queries),
            (KEY, keys_width, scratch.keys),
            (VALUE, keys_width, scratch.values),
        ):
            linear(
                matrices[matrix], width, outputs,
                normed, quantized, scales, y, rows, thread, threads,
            )  # fmt: skip
            _adapt(adapted[matrix], width, outputs, normed, scratch, y, rows, thread, threads)
        wait_for_all(counters, threads)
        _attention(weights, step, scratch, cache, layer, rows, thread, threads)
        wait_for_all(counters, threads)
        if matrices[OUTPUT, 0] >= INT8:
            quantize(scratch.found, queries_width, rows, quantized, scales)
        linear(
            matrices[OUTPUT], queries_width, width,
            scratch.found, quantized, scales, mixed, rows, thread, threads,
        )  # fmt: skip
        _adapt(
            adapted[OUTPUT], queries_width, width,
            scratch.found, scratch, mixed, rows, thread, threads,
        )  # fmt: skip
        wait_for_all(counters, threads)
        for row in range(rows):
            for index in range(width):
                stream[row, index] += mixed[row, index]
            rms_norm(stream[row], weights.feed_forward_norm[layer], weights.epsilon, normed[row])
        if matrices[GATE, 0] >= INT8:
            quantize(normed, width, rows, quantized, scales)
        for matrix, y in ((GATE, scratch.gate), (UP, scratch.up)):
            linear(
                matrices[matrix], width, inner,
                normed, quantized, scales, y, rows, thread, threads,
            )  # fmt: skip
            _adapt(adapted[matrix], width, inner, normed, scratch, y, rows, thread, threads)
        first, end = share(inner, thread, threads)
        for row in range(rows):
            silu_times(scratch.gate[row], scratch.up[row], first, end)
        wait_for_all(counters, threads)
        if matrices[DOWN, 0] >= INT8:
            quantize(scratch.gate, inner, rows, quantized, scales)
        linear(
            matrices[DOWN], inner, width,
            scratch.gate, quantized, scales, mixed, rows, thread, threads,
        )  # fmt: skip
        _adapt(adapted[DOWN], inner, width, scratch.gate, scratch, mixed, rows, thread, threads)
        wait_for_all(counters, threads)
        for row in range(rows):
            for index in range(width):
                stream[row, index] += mixed[row, index]
        # Nobody may write to ``mixed`` before all have read it: the two waits in between see to it.
    if thread == 0:
        for row in range(rows):
            rms_norm(stream[row], weights.final_norm, weights.epsilon, hidden[row])
    end_together(counters, thread, threads)


@compiled()
def _adapt(change, width, outputs, x, scratch, y, rows, thread, threads):
    """Add an adapter's change B · A · x to this thread's share of y."""
    rank = change[0]
    if rank == 0:
        return
    low, more = scratch.low[thread], scratch.change[thread]
    none, scales = scratch.quantized[thread], scratch.scales[thread]
    linear(change[1:5], width, rank, x, none, scales, low, rows, 0, 1)
    linear(change[5:9], rank, outputs, low, none, scales, more, rows, thread, threads)
    first, end = share(outputs, thread, threads)
    for row in range(rows):
        for index in range(first, end):
            y[row, index] += more[row, index]


@compiled()
def _attention(weights, step, scratch, cache, layer, rows, thread, threads):
    """Store the tokens' keys and values and let them attend; each thread does its own heads."""
    width, size = weights.head_width, cache.keys.shape[3]
    group = weights.heads // weights.kv_heads
    keys, values = cache.keys[layer], cache.values[layer]
    key_scales, value_scales = cache.key_scales[layer], cache.value_scales[layer]
    for head in range(thread, weights.kv_heads, threads):
        for row in range(rows):
            cos, sin = weights.cos[step.positions[row]], weights.sin[step.positions[row]]
            key = scratch.keys[row, head * width : (head + 1) * width]
            if weights.has_head_norms:
                rms_norm(key, weights.key_norm[layer], weights.epsilon, key)
            rotate(key, cos, sin)
            block, place = step.slots[row] // size, step.slots[row] % size
            put(key, keys, key_scales, block, place, head)
            value = scratch.values[row, head * width : (head + 1) * width]
            put(value, values, value_scales, block, place, head)
        for row in range(rows):
            cos, sin = weights.cos[step.positions[row]], weights.sin[step.positions[row]]
            for number in range(head * group, (head + 1) * group):
                query = scratch.queries[row, number * width : (number + 1) * width]
                if weights.has_head_norms:
                    rms_norm(query, weights.query_norm[layer], weights.epsilon, query)
                rotate(query, cos, sin)
        # After all are stored, as a sequence may share blocks with another of this step.
        row = 0
        while row < rows:
            end = row + 1
            while end < rows and step.rows[end] == step.rows[row]:
                end += 1
            blocks, window = step.blocks[step.rows[row]], weights.windows[layer]
            first = max(0, step.positions[row] + 1 - window) // size
            last = step.positions[end - 1] // size + 1
            room = scratch.room[thread]
            # Both tables are the same.
            own_keys, own_head, own_blocks = readable(
                keys, key_scales, head, blocks, first, last, room[0]
            )
            own_values, _, _ = readable(values, value_scales, head, blocks, first, last, room[1])
            while row < end:
                row += _attend(
                    weights, step, scratch, own_keys, own_values, head, own_head, own_blocks,
                    window, row, end, thread,
                )  # fmt: skip


@compiled()
def _attend(weights, step, scratch, keys, values, head, own_head, blocks, window, row, end, thread):
    """Let the heads that share a key/value head attend, for one token or two; returns how many.

    Two queries at a time read a key once: those of two tokens of a text, or else of two heads.
    ``keys`` and ``values`` have the head as ``own_head``; the text's tokens end before ``end``.
    """
    width, heads, group = weights.head_width, weights.heads, weights.heads // weights.kv_heads
    shape = (scratch.queries.shape[0] * heads, width)
    queries, found = scratch.queries.reshape(shape), scratch.found.reshape(shape)
    length, scale, scores = step.positions[row] + 1, np.float32(1 / np.sqrt(width)), scratch.scores
    first, last = row * heads + head * group, row * heads + (head + 1) * group
    if row + 1 < end:
        for query in range(first, last):
            attend(
                queries, query, query + heads, keys, values, own_head, blocks, length, 1, window,
                scale, scores[thread], found,
            )  # fmt: skip
        return 2
    for query in range(first, last, 2):
        attend(
            queries, query, min(query + 1, last - 1), keys, values, own_head, blocks, length, 0,
            window, scale, scores[thread], found,
        )  # fmt: skip
    return 1


@compiled(cache=True)
def project(matrix, outputs, hidden, quantized, scales, logits, counters, thread, threads):
    """Work out this thread's share of logits (M, outputs) of hidden states (M, C), all float32.

    ``quantized`` and ``scales`` are scratch of this thread's own, (M, C) int16 and (M,) float32.
    """
    begin_together(counters, thread)
    rows, width = hidden.shape
    if matrix[0] >= INT8:
        quantize(hidden, width, rows, quantized, scales)
    linear(matrix, width, outputs, hidden, quantized, scales, logits, rows, thread, threads)
    end_together(counters, thread, threads)
