"""The word n-grams of evaluation sets, as sorted hashes.

Overlap of 13 words is the rule of GPT-3 (Brown et al. 2020, appendix C); words are compared as
for near-duplicates: without case, numbers, punctuation and accents.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelwright.core.errors import InputError, UsageError
from modelwright.core.files import write_json
from modelwright.data.arrays import save_array
from modelwright.data.contamination.evaluation_sets import evaluation_texts, set_names
from modelwright.data.duplicates.mixing import GOLDEN_RATIO, Hashes, mix
from modelwright.data.duplicates.words import Offsets, word_hashes
from modelwright.data.text_batches import text_batches

MIN_WORDS = 8
"""A text of an evaluation set that is shorter than n words counts whole if it has that many.

The first so many words of every n-gram are what is looked for first.
"""

MIN_DIFFERENT = 5
"""An n-gram of fewer different words (a row of numbers, a refrain) would match everywhere."""

_FILTER_BITS = 16  # for each n-gram; about so many times fewer look-ups are searches
_TEXTS_AT_ONCE = 4096
_ARRAYS = ("hashes", "set_of", "beginnings")
_FORMAT: Final = "modelwright-evaluation-ngrams-1"


@dataclass(frozen=True)
class EvaluationSet:
    """What was taken from one evaluation set.

    Attributes
    ----------
    name : str
        The end of its path.
    texts : int
        Strings that were found in it.
    ngrams : int
        Different n-grams, of texts shorter than n words as well.
    too_short : int
        Texts of fewer than :data:`MIN_WORDS` words, which are not looked for.
    repetitive : int
        N-grams of fewer than :data:`MIN_DIFFERENT` different words, which are not looked for.
    """

    name: str
    texts: int
    ngrams: int
    too_short: int
    repetitive: int


@dataclass(frozen=True)
class EvaluationNgrams:
    """N-grams to look for.

    Attributes
    ----------
    n : int
        Words of an n-gram.
    lengths : tuple of int
        ``n`` and the lengths of the shorter texts, increasing.
    sets : tuple of EvaluationSet
    hashes : ndarray of uint64
        Hashes of the n-grams, increasing.
    set_of : ndarray of uint16
        Place in ``sets`` of the first set that has the n-gram.
    beginnings : ndarray of uint8
        A bit for each value of the first bits of :func:`beginning_hashes`: whether an n-gram
        begins so.
    """

    n: int
    lengths: tuple[int, ...]
    sets: tuple[EvaluationSet, ...]
    hashes: Hashes
    set_of: NDArray[np.uint16]
    beginnings: NDArray[np.uint8]

    def may_begin(self, beginnings: Hashes) -> NDArray[np.bool_]:
        """Whether an n-gram may begin with the words of these :func:`beginning_hashes`."""
        slots = beginnings >> _shift(len(self.beginnings) * 8)
        bits = self.beginnings[slots >> np.uint64(3)] >> (slots & np.uint64(7)).astype(np.uint8)
        may: NDArray[np.bool_] = (bits & 1).astype(np.bool_)
        return may

    def find(self, hashes: Hashes) -> NDArray[np.int64]:
        """Place of each of these :func:`run_hashes` in ``hashes``, or -1 if it is not there."""
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[at] == hashes, at, -1)

    def save(self, folder: Path) -> None:
        """Write its arrays (``.npy``) and, last, ``ngrams.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            save_array(folder / f"{name}.npy", getattr(self, name))
        rest = {"format": _FORMAT, "n": self.n, "lengths": self.lengths}
        write_json(folder / "ngrams.json", rest | {"sets": [asdict(one) for one in self.sets]})

    @classmethod
    def load(cls, folder: Path) -> EvaluationNgrams:
        """Read what :meth:`save` wrote; its memory is shared by all processes that load it.

        Raises
        ------
        InputError
            If the folder holds none, or they are damaged.
        """
        try:
            rest = json.loads((folder / "ngrams.json").read_bytes())
            if rest["format"] != _FORMAT:
                raise ValueError(f"format {rest['format']}")
            return cls(
                n=rest["n"],
                lengths=tuple(rest["lengths"]),
                sets=tuple(EvaluationSet(**one) for one in rest["sets"]),
                **{name: _mapped(folder / f"{name}.npy") for name in _ARRAYS},
            )
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"no n-grams of evaluation sets: {error}", where=folder) from error


def build_evaluation_ngrams(paths: Sequence[Path], n: int = 13) -> EvaluationNgrams:
    """Read evaluation sets and hash their n-grams.

    Parameters
    ----------
    paths : sequence of Path
        Files or folders, each a set; see
        :func:`~modelwright.data.contamination.evaluation_sets.evaluation_texts`.
    n : int
        Words of an n-gram, at least :data:`MIN_WORDS`.

    Raises
    ------
    InputError
        If a set cannot be read, or nothing in it is long enough to look for.
    UsageError
        If there is no set, one is listed twice, or ``n`` is too small.
    """
    if n < MIN_WORDS:
        raise UsageError(f"n-grams of {n} words are everywhere", fix=f"{MIN_WORDS} or more")
    if not paths:
        raise UsageError("no evaluation set is named", fix="name at least one file or folder")
    names = set_names(paths)
    found = [_read_set(path, name, n) for path, name in zip(paths, names, strict=True)]
    every = np.concatenate([one.hashes for one in found])
    owners = np.repeat(np.arange(len(found)), [len(one.hashes) for one in found])
    hashes, first = np.unique(every, return_index=True)
    return EvaluationNgrams(
        n=n,
        lengths=tuple(sorted({n}.union(*(one.lengths for one in found)))),
        sets=tuple(one.summary for one in found),
        hashes=hashes,
        set_of=owners[first].astype(np.uint16),
        beginnings=_filter(np.concatenate([one.beginnings for one in found]), len(hashes)),
    )


def words_left(offsets: Offsets) -> NDArray[np.int64]:
    """How many words of its text each word begins, itself among them.

    Parameters
    ----------
    offsets : ndarray of int64, shape (texts + 1,)
        Where each text begins, as :func:`~modelwright.data.duplicates.words.word_hashes` says.
    """
    return np.repeat(offsets[1:], np.diff(offsets)) - np.arange(offsets[-1])


def beginning_hashes(words: Hashes) -> Hashes:
    """Hash each word with the :data:`MIN_WORDS` - 1 that follow; the last have fewer.

    Parameters
    ----------
    words : ndarray of uint64
        Well-mixed hashes of words.
    """
    runs = words.copy()
    for step in range(1, min(MIN_WORDS, len(words))):
        runs *= GOLDEN_RATIO
        runs[:-step] += words[step:]
    return runs


def run_hashes(words: Hashes, starts: NDArray[np.int64], length: int) -> Hashes:
    """Hash runs of ``length`` words that begin at ``starts``.

    Parameters
    ----------
    words : ndarray of uint64
        Hashes of words.
    starts : ndarray of int64
        Each with ``length`` words from there on.
    length : int
        Runs of different lengths have different hashes.
    """
    runs = words[starts]
    for step in range(1, length):
        runs = runs * GOLDEN_RATIO + words[starts + step]
    return mix(runs + np.uint64(length))


@dataclass(frozen=True)
class _Found:
    """What one evaluation set holds: hashes are different ones, lengths those below n."""

    summary: EvaluationSet
    lengths: set[int]
    hashes: Hashes
    beginnings: Hashes


def _read_set(path: Path, name: str, n: int) -> _Found:
    texts, too_short, repetitive = 0, 0, 0
    lengths, hashes, beginnings = set[int](), list[Hashes](), list[Hashes]()
    for batch in _batches(evaluation_texts(path)):
        words, offsets = word_hashes(batch)
        counts = np.diff(offsets)
        texts += len(counts)
        too_short += int((counts < MIN_WORDS).sum())
        at = beginning_hashes(words)
        for length, starts in _starts(offsets, n):
            lengths.add(length)
            is_telling = _different_words(words, starts, length) >= MIN_DIFFERENT
            repetitive += int((~is_telling).sum())
            hashes.append(np.unique(run_hashes(words, starts[is_telling], length)))
            beginnings.append(np.unique(at[starts[is_telling]]))
    every = np.unique(np.concatenate(hashes)) if hashes else np.zeros(0, dtype=np.uint64)
    if not len(every):
        raise InputError(
            f"nothing in this evaluation set can be looked for: of {texts} texts none has "
            f"{MIN_WORDS} words, {MIN_DIFFERENT} of them different",
            where=path,
            fix="leave it out, or give the file with its questions",
        )
    summary = EvaluationSet(name, texts, len(every), too_short, repetitive)
    return _Found(summary, lengths, every, np.unique(np.concatenate(beginnings)))


def _starts(offsets: Offsets, n: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Where n-grams begin, and shorter texts that count whole, by length."""
    counts = np.diff(offsets)
    for length in np.unique(counts[(counts >= MIN_WORDS) & (counts < n)]).tolist():
        yield length, offsets[:-1][counts == length]
    if (counts >= n).any():
        yield n, np.flatnonzero(words_left(offsets) >= n)


def _filter(beginnings: Hashes, ngrams: int) -> NDArray[np.uint8]:
    """A bit for every first bits of a hash, eight a byte, the lowest first."""
    bits = np.zeros(1 << (ngrams * _FILTER_BITS - 1).bit_length(), dtype=np.bool_)
    bits[beginnings >> _shift(len(bits))] = True
    return np.packbits(bits, bitorder="little")


def _shift(bits: int) -> np.uint64:
    """How far to shift a hash to the right so that it is the number of one of so many bits."""
    return np.uint64(64 - (bits - 1).bit_length())


def _mapped(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _batches(texts: Iterable[str]) -> Iterator[pl.Series]:
    waiting = list[str]()
    for text in texts:
        waiting.append(text)
        if len(waiting) == _TEXTS_AT_ONCE:
            yield from text_batches(pl.Series(waiting, dtype=pl.String))
            waiting = []
    yield from text_batches(pl.Series(waiting, dtype=pl.String))


def _different_words(words: Hashes, starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """How many different words each run has."""
    if not len(starts):
        return np.zeros(0, dtype=np.int64)
    runs = np.sort(np.lib.stride_tricks.sliding_window_view(words, length)[starts], axis=1)
    changes: NDArray[np.int64] = (runs[:, 1:] != runs[:, :-1]).sum(axis=1)
    return changes + 1
