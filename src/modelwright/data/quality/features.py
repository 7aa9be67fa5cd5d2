"""Texts to hashed word and sign features, for a linear classifier.

A feature is a token or a pair of neighbouring tokens, put into one of :data:`BUCKETS` by its hash
(Weinberger et al. 2009, "Feature hashing for large scale multitask learning"). Its value is
log(1 + count), and the values of a text are scaled to the Euclidean length 1.

Signs and line ends are tokens, because they tell prose from menus and lists: a classifier of web
page boilerplate reached an area under the curve of 0.991 with them and 0.940 without, and 0.973
with scikit-learn's hashing of the same words and signs, which counts instead of taking logarithms.

Values are stored in classifiers: a change here needs a new :data:`FEATURES_VERSION`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelwright.data.duplicates.mixing import GOLDEN_RATIO, Hashes, constants, mix
from modelwright.data.text_batches import text_batches

FEATURES_VERSION = 1
BUCKET_BITS = 18
BUCKETS = 1 << BUCKET_BITS

MAX_CHARACTERS = 100_000
"""Of a longer text, only this beginning counts: the arrays take thirty bytes a byte of text."""

# Beyond ASCII every byte belongs to a word, after signs and the letters of scripts that put no
# space between words were set apart.
_SET_APART = (
    r"[^\x00-\x7F\p{L}\p{M}\p{N}]"
    r"|[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
)

_SPACE, _WORD, _SIGN = 0, 1, 2
_KIND = np.full(256, _WORD, dtype=np.uint8)
_KIND[:0x21] = _SPACE
_KIND[0x7F] = _SPACE
_KIND[[*b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\n"]] = _SIGN

_PLACES = 64


def _byte_hashes() -> Hashes:
    """A number for each byte at each place of a token; capitals as small, digits as 0."""
    table = constants(_PLACES * 256, seed=7).reshape(_PLACES, 256)
    table[:, ord("A") : ord("Z") + 1] = table[:, ord("a") : ord("z") + 1]
    table[:, ord("1") : ord("9") + 1] = table[:, ord("0")][:, None]
    return table.ravel()


_BYTE_HASHES = _byte_hashes()


@dataclass(frozen=True)
class Features:
    """The features of some texts, as a sparse matrix in compressed rows.

    Attributes
    ----------
    offsets : ndarray of int64, shape (texts + 1,)
        The features of text ``i`` lie at ``offsets[i]:offsets[i + 1]``.
    buckets : ndarray of int64
        Each in ``[0, BUCKETS)``, increasing within a text.
    values : ndarray of float64
        The squares of a text's values add up to 1.
    """

    offsets: NDArray[np.int64]
    buckets: NDArray[np.int64]
    values: NDArray[np.float64]


def features(texts: pl.Series) -> Iterator[Features]:
    """Yield the features of texts, some texts at a time, in order.

    Parameters
    ----------
    texts : polars.Series
        Strings, no nulls. A text without a token has no features; of one with more than
        :data:`MAX_CHARACTERS`, the rest is left out.
    """
    for batch in text_batches(texts.str.head(MAX_CHARACTERS)):
        yield _features(batch)


def _features(texts: pl.Series) -> Features:
    tokens, offsets = _token_hashes(texts)
    owners = np.repeat(np.arange(len(texts)), np.diff(offsets))
    is_pair = owners[1:] == owners[:-1]
    pairs = mix(tokens[:-1] * GOLDEN_RATIO + tokens[1:])[is_pair]
    buckets = np.concatenate([tokens, pairs]) >> np.uint64(64 - BUCKET_BITS)
    owners = np.concatenate([owners, owners[:-1][is_pair]])

    keys, counts = np.unique(owners << BUCKET_BITS | buckets.astype(np.int64), return_counts=True)
    owners = keys >> BUCKET_BITS
    values = np.log1p(counts)
    lengths = np.sqrt(np.bincount(owners, weights=values**2, minlength=len(texts)))
    found = np.bincount(owners, minlength=len(texts))
    return Features(
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(found)]),
        buckets=keys & (BUCKETS - 1),
        values=values / lengths[owners],
    )


def _token_hashes(texts: pl.Series) -> tuple[Hashes, NDArray[np.int64]]:
    """A hash for every token, and where the tokens of each text begin and end."""
    texts = _set_apart(texts)
    begins = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(texts.str.len_bytes().to_numpy().astype(np.int64) + 1, out=begins[1:])
    # A space in front and one behind every text: the first byte starts no token, the last none.
    data = np.frombuffer(b" " + texts.str.join(" ").cast(pl.Binary).item() + b" ", dtype=np.uint8)
    kind = _KIND[data]
    goes_on = (kind[1:] == _WORD) & (kind[:-1] == _WORD)
    starts = np.flatnonzero((kind[1:] != _SPACE) & ~goes_on) + 1
    ends = np.flatnonzero((kind[:-1] != _SPACE) & ~goes_on) + 1

    lengths = ends - starts
    skipped = np.cumsum(lengths) - lengths
    places = np.arange(lengths.sum()) - np.repeat(skipped, lengths)
    of_tokens = data[kind != _SPACE].astype(np.int64)
    hashes = _BYTE_HASHES[(places & (_PLACES - 1)) << 8 | of_tokens]
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(hashes)])
    tokens = mix(sums[skipped + lengths] - sums[skipped])
    return tokens, np.searchsorted(starts, begins + 1)


def _set_apart(texts: pl.Series) -> pl.Series:
    text = pl.col("text")
    changed = text.str.to_lowercase().str.replace_all(_SET_APART, " ${0} ")
    is_ascii = text.str.len_bytes() == text.str.len_chars()
    return (
        pl.DataFrame({"text": texts})
        .select(pl.when(is_ascii).then(text).otherwise(changed))
        .to_series()
    )
