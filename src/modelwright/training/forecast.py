"""What a model is expected to reach: a scaling law, fitted to small runs of ours.

The form is that of Kaplan et al. 2020 (arXiv:2001.08361, eq. 1.5) above a floor: with few tokens a
larger model gains little, with more it gains more, which a sum of one term for each does not have.
Text that is seen again counts less (Muennighoff et al. 2023, arXiv:2305.16264, eq. 5). The points,
and the script that fits them, are in ``benchmarks/training/``.
"""

from __future__ import annotations

import lzma
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ScalingLaw:
    """Bits per byte = floor + ((size / N)^(a / b) + data / D)^b, exponents a of size, b of data.

    N is the number of weights in matrix products, the output head included, D that of tokens, both
    in millions.
    """

    floor: float
    size: float
    size_exponent: float
    data: float
    data_exponent: float

    def bits_per_byte(self, weights: float, tokens: float) -> float:
        """What a model with so many weights reaches after so many tokens, none of them twice."""
        by_size = math.pow(self.size / (weights / 1e6), self.size_exponent / self.data_exponent)
        above = math.pow(by_size + self.data / (tokens / 1e6), self.data_exponent)
        return min(UNIFORM, self.floor + above)


UNIFORM = 8.0
"""Bits per byte of one who knows nothing."""

NOVELS = ScalingLaw(0.7, size=0.2778, size_exponent=0.1733, data=1.3662, data_exponent=0.1951)
"""Of English novels, with rates and batches by :mod:`modelwright.training.rates`. The floor is
about what the best models reach on English; the points do not tell it."""

START_TOKENS = 1.194e6
"""Tokens that the start from bigrams is worth, fitted with the law."""

NOVELS_LZMA = 2.635
"""Bits per byte that LZMA takes of :data:`SAMPLE_BYTES` of the same novels."""

SAMPLE_BYTES = 500_000
"""Text that is compressed to tell how hard it is to predict."""

FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9}]
"""Of the compression; no headers, which would count in a short text."""

REPEATS = 15.4
"""How many repetitions of a text are worth about two thirds of as much new text (R* there)."""


@dataclass(frozen=True)
class Text:
    """What the law has to know of a text.

    Attributes
    ----------
    tokens : float
        About how many it has.
    difficulty : float
        How hard it is to predict beside the novels: 1 is as hard.
    """

    tokens: float
    difficulty: float = 1.0

    def bits_per_byte(self, blocks: float, head: float, tokens: float, from_bigrams: bool) -> float:
        """What a model is expected to reach on held-out text of this kind.

        Parameters
        ----------
        blocks, head : float
            Weights in matrix products of the blocks, and in the output head.
        tokens : float
            How many it is trained on, some of them perhaps many times.
        from_bigrams : bool
            Whether its first weights know which token follows which.
        """
        seen = max(1.0, distinct_tokens(tokens, self.tokens))
        start = min(START_TOKENS, self.tokens) if from_bigrams else 0.0
        # The start leaves the blocks alone: without training, a deep model is no better for it.
        weights = head + blocks * seen / (seen + start)
        return self.difficulty * NOVELS.bits_per_byte(weights, seen + start)


def distinct_tokens(tokens: float, text_tokens: float) -> float:
    """How many new tokens are worth as much as ``tokens``, read from a text of ``text_tokens``."""
    repeats = max(0.0, tokens / max(1.0, text_tokens) - 1.0)
    if repeats == 0.0:
        return tokens
    return text_tokens * (1.0 + REPEATS * (1.0 - math.exp(-repeats / REPEATS)))


def difficulty(sample: bytes) -> float:
    """How hard a text is to predict beside the novels that the law was fitted to: 1 is as hard."""
    if not sample:
        return 1.0
    packed = lzma.compress(sample, format=lzma.FORMAT_RAW, filters=FILTERS)
    return 8 * len(packed) / len(sample) / NOVELS_LZMA
