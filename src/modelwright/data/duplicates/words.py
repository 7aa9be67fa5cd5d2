"""Text to hashes of its normalised words.

What two copies of a document may differ in without being less of a copy is taken away before
the words are compared, in the order of datatrove's text normalisation: case, the value of
numbers, punctuation and white space, accents. Scripts that are written without spaces have one
word a character.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelwright.data.duplicates.mixing import GOLDEN_RATIO, Hashes, mix

Offsets = NDArray[np.int64]
"""Where the values of each document begin in a flat array, and as the last where all end."""

_SYMBOL_BEYOND_ASCII = r"[^\x00-\x7F\p{L}\p{M}\p{N}\p{Cf}]"
_ACCENT_OR_INVISIBLE = r"[\p{Mn}\p{Cf}]"
_NUMBER = r"[0-9]+(?:[.,][0-9]+)*"
_NUMBER_OF_ANY_SCRIPT = r"\p{Nd}+(?:[.,]\p{Nd}+)*"
_WITHOUT_SPACES = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"

_SPACE = 32
_PARTED = bytearray([_SPACE] * 0x80) + bytearray(range(0x80, 0x100))
_PARTED[ord("0") : ord("9") + 1] = b"0123456789"
_PARTED[ord("a") : ord("z") + 1] = _PARTED[ord("A") : ord("Z") + 1] = b"abcdefghijklmnopqrstuvwxyz"

_PIECE = 8  # bytes that are hashed at a time
_LOW_BYTES = np.array([(1 << 8 * count) - 1 for count in range(_PIECE + 1)], dtype=np.uint64)


def word_hashes(texts: pl.Series) -> tuple[Hashes, Offsets]:
    """Hash the words of every text.

    Polars' own hash may change with its version, so this is one of ours: words of any length
    in pieces of eight bytes, each mixed with its place and added up.

    Parameters
    ----------
    texts : Series of String
        ``n`` texts, none missing.

    Returns
    -------
    hashes : ndarray of uint64
        One for each word, text by text.
    offsets : ndarray of int64, shape (n + 1,)
        The words of text ``i`` are ``hashes[offsets[i]:offsets[i + 1]]``.
    """
    texts = normalise(texts)
    begins = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(texts.str.len_bytes().to_numpy().astype(np.int64) + 1, out=begins[1:])
    joined: bytes = texts.str.join(" ").cast(pl.Binary).item() if len(texts) else b""
    # A space in front makes every word begin at a change; those behind let pieces overhang.
    data = np.frombuffer((b" " + joined + b" " * _PIECE).translate(_PARTED), dtype=np.uint8)
    is_word = data != _SPACE
    changes = np.flatnonzero(is_word[1:] != is_word[:-1]) + 1
    starts, ends = changes[0::2], changes[1::2]
    return _hash_spans(data, starts, ends - starts), np.searchsorted(starts, begins + 1)


def normalise(texts: pl.Series) -> pl.Series:
    """Make texts equal that differ only in numbers, punctuation, accents or the case of these.

    Words are left parted by ASCII characters that are neither letters nor digits; ASCII
    letters keep their case.

    Parameters
    ----------
    texts : Series of String

    Returns
    -------
    Series of String
        Of the same length.
    """
    texts = _change(texts, _has_more_than_ascii(texts), _drop_symbols)
    texts = _change(texts, _has_more_than_ascii(texts), _simplify_letters)
    return texts.str.replace_all(_NUMBER, "0")


def _drop_symbols(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(_SYMBOL_BEYOND_ASCII, " ")


def _simplify_letters(texts: pl.Series) -> pl.Series:
    """Take off accents and invisible characters; part what is written without spaces.

    The compatibility form (NFKD) makes ligatures and full-width letters equal to plain ones.
    """
    return (
        texts.str.normalize("NFKD")
        .str.replace_all(_ACCENT_OR_INVISIBLE, "")
        .str.to_lowercase()
        .str.replace_all(_NUMBER_OF_ANY_SCRIPT, "0")
        .str.replace_all(_WITHOUT_SPACES, " ${0} ")
    )


def _has_more_than_ascii(texts: pl.Series) -> pl.Series:
    return texts.str.len_bytes() != texts.str.len_chars()


def _change(
    texts: pl.Series, which: pl.Series, change: Callable[[pl.Series], pl.Series]
) -> pl.Series:
    """Change the texts that are marked and leave the others as they are."""
    if not which.any():
        return texts
    place = (which.cum_sum().cast(pl.Int64) - 1).clip(0)
    return change(texts.filter(which)).gather(place).zip_with(which, texts)


def _hash_spans(data: NDArray[np.uint8], starts: Offsets, lengths: Offsets) -> Hashes:
    """Hash ``data[start:start + length]`` of every span; eight bytes must follow the last one."""
    at_every_byte = np.ndarray(len(data) - _PIECE + 1, dtype="<u8", buffer=data, strides=(1,))

    def piece(start: Offsets, length: Offsets) -> Hashes:
        return at_every_byte[start] & _LOW_BYTES[np.minimum(length, _PIECE)]

    hashes = mix(piece(starts, lengths))
    long = np.flatnonzero(lengths > _PIECE)
    if len(long):
        more = (lengths[long] - 1) // _PIECE
        begins = np.cumsum(more) - more
        rank = np.arange(1, more.sum() + 1) - np.repeat(begins, more)
        skipped = rank * _PIECE
        rest = piece(
            np.repeat(starts[long], more) + skipped, np.repeat(lengths[long], more) - skipped
        )
        hashes[long] += np.add.reduceat(mix(rest + rank.astype(np.uint64) * GOLDEN_RATIO), begins)
    return hashes
