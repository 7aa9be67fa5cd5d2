"""Attention of one token at a time over the blocks of the cache.

Shapes in comments: G query heads that share a key/value head, D width of a head, K key/value heads.
"""

from __future__ import annotations

import numpy as np

from modelwright.inference.kernels.compiled import compiled
from modelwright.inference.kernels.functions import exponential
from modelwright.inference.kernels.tiles import OUTPUTS, Float32, make_tile

_scores = make_tile(Float32(), OUTPUTS, 1)


@compiled()
def attend(queries, keys, values, head, blocks, begin, length, scale, scores, out):
    """What the query heads of one key/value head find.

    Every place is scored and added in the order of the text, so that the result does not depend on
    what else is in the step.

    Parameters
    ----------
    queries : float32 (G · D,)
        Of one token, one head after the other.
    keys, values : float32 (blocks, BLOCK_SIZE, K, D)
        One layer's.
    head : int
        Which of the K.
    blocks : int (≥ blocks of the sequence,)
        Its block table.
    begin, length : int
        It attends to the places from ``begin`` on, and knows ``length`` places.
    scale : float32
        Of the products, 1/√D.
    scores : float32 (G, ≥ length rounded up to blocks)
        Scratch.
    out : float32 (G · D,)
        Where to write.
    """
    size, width = keys.shape[1], keys.shape[3]
    group = queries.shape[0] // width
    for number in range(begin // size, (length + size - 1) // size):
        block, stride = keys[blocks[number], 0, head].ctypes.data, keys.strides[1]
        for query in range(group):
            at = queries.ctypes.data + 4 * query * width
            to = scores.ctypes.data + query * scores.strides[0] + 4 * number * size
            for place in range(0, size, OUTPUTS):
                key = block + place * stride
                _scores(key, stride, 0, 0, at, 0, 0, to + 4 * place, 0, width)
    for query in range(group):
        _softmax(scores[query, begin:length], scale)
    for index in range(group * width):
        out[index] = 0
    for place in range(begin, length):
        value = values[blocks[place // size], place % size, head]
        for query in range(group):
            weight, first = scores[query, place], query * width
            for index in range(width):
                out[first + index] += weight * value[index]


@compiled()
def _softmax(scores, scale):
    largest = scores[0]
    for score in scores:
        largest = max(largest, score)
    for index in range(scores.shape[0]):
        scores[index] = exponential((scores[index] - largest) * scale)
    total = np.float32(0)
    for score in scores:
        total += score
    inverse = np.float32(1) / total
    for index in range(scores.shape[0]):
        scores[index] *= inverse
