"""What a model is expected to reach: a scaling law, fitted to small runs of ours.

The form is that of Kaplan et al. 2020 (arXiv:2001.08361, eq. 1.5) above a floor: with few tokens a
larger model gains little, with more it gains more, which a sum of one term for each does not have.
Text that is seen again counts less, and so do weights beyond those that the text can fill
(Muennighoff et al. 2023, arXiv:2305.16264, eq. 5 and 6). The points, and the script that fits them,
are in ``benchmarks/training/``.
"""

from __future__ import annotations

import lzma
import math
from dataclasses import dataclass

import numpy as np


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

    def best_weights(self, tokens: float) -> float:
        """The size with which so many tokens are best used: operations (as N D) allow no better."""
        ratio = self.size_exponent / self.data_exponent
        return 1e6 * self.size * math.pow(ratio * (tokens / 1e6) / self.data, 1.0 / ratio)


UNIFORM = 8.0
"""Bits per byte of one who knows nothing."""

NOVELS = ScalingLaw(0.7, size=0.5015, size_exponent=0.3315, data=1.5056, data_exponent=0.1753)
"""Of English novels, with rates and batches by :mod:`modelwright.training.rates`. The floor is
about what the best models reach on English; the points do not tell it."""

START_TOKENS, START_WEIGHTS = 0.997e6, 1.057e6
"""S and M, fitted with the law: a start from bigrams of T tokens is worth the part S / (T + S) of
those that training does not read, read by a model of M weights, whatever its size."""

LOOK_BACK = 0.01
"""Part of the bits that heads which look back save after such a start, of a text of which training
reads little; of others in proportion to what it does not read (``training/look_back.py``)."""

NOVELS_LZMA = {
    1_000: 4.93,
    3_000: 4.13,
    10_000: 3.53,
    30_000: 3.16,
    100_000: 2.89,
    300_000: 2.70,
    500_000: 2.635,
}
"""Bits per byte that LZMA takes of so many bytes of the same novels: it learns as it goes on."""

FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9}]
"""Of the compression; no headers, which would count in a short text."""

REPEATS = 1.57
"""How many repetitions of a text are worth about two thirds of as much new text (R* there). Fitted
to runs of ours that read a small text two to four times; in the paper, which has far larger texts
and models, it is 15.4."""

EXCESS = 5.31
"""How many times the weights that a text can fill all further ones are worth (R* of N there)."""


@dataclass(frozen=True)
class Text:
    """What the law has to know of a text.

    Attributes
    ----------
    tokens : float
        About how many it has, above 0.
    difficulty : float
        How hard it is to predict beside the novels: 1 is as hard.
    """

    tokens: float
    difficulty: float = 1.0

    def bits_per_byte(self, weights: float, tokens: float, from_bigrams: bool) -> float:
        """What a model is expected to reach on held-out text of this kind.

        Parameters
        ----------
        weights : float
            In matrix products, the output head included.
        tokens : float
            How many it is trained on, some of them perhaps many times.
        from_bigrams : bool
            Whether its first weights know which token follows which.
        """
        weights = self.weights_filled(weights)
        seen = max(1.0, self.distinct_tokens(tokens))
        unseen = max(0.0, self.tokens - seen) if from_bigrams else 0.0
        counted = unseen * START_TOKENS / (self.tokens + START_TOKENS)
        of_start = self.weights_filled(START_WEIGHTS)
        size = weights + (of_start - weights) * counted / (seen + counted)
        bits = self.difficulty * NOVELS.bits_per_byte(size, seen + counted)
        return bits * (1.0 - LOOK_BACK * unseen / self.tokens)

    def distinct_tokens(self, tokens: float) -> float:
        """How many new tokens would teach as much as ``tokens`` that are read of this text."""
        return _worth(tokens, self.tokens, REPEATS)

    def weights_filled(self, weights: float) -> float:
        """How many weights would learn as much, had they as much text as they can hold."""
        return _worth(weights, NOVELS.best_weights(self.tokens), EXCESS)


def _worth(amount: float, whole: float, constant: float) -> float:
    """What goes beyond ``whole`` counts less and less: all of it ``constant`` times the whole."""
    beyond = max(0.0, amount / whole - 1.0)
    if beyond == 0.0:
        return amount
    return whole * (1.0 - constant * math.expm1(-beyond / constant))


def difficulty(sample: bytes) -> float:
    """How hard a text is to predict beside the novels that the law was fitted to: 1 is as hard."""
    if not sample:
        return 1.0
    packed = lzma.compress(sample, format=lzma.FORMAT_RAW, filters=FILTERS)
    sizes, of_novels = np.log(list(NOVELS_LZMA)), list(NOVELS_LZMA.values())
    return 8 * len(packed) / len(sample) / float(np.interp(math.log(len(sample)), sizes, of_novels))
