"""Signatures against exact arithmetic, datasketch, and the formula for recall."""

from __future__ import annotations

import itertools
import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.duplicates.signature import (
    _SHIFTS,
    _SLOPES,
    BANDS,
    ROWS,
    band_hashes,
    minhash,
    shingles,
)
from modelwright.data.duplicates.words import word_hashes

HASHES = BANDS * ROWS
WORDS = st.sampled_from(["a", "b", "c", "dog", "123", "é", "漢", ""])
TEXTS = st.lists(st.lists(WORDS, max_size=14).map(" ".join), min_size=1, max_size=8)


def pair_of_sets(jaccard: float, size: int, dice: np.random.Generator) -> tuple[float, list]:
    """Two sets of 32-bit integers: what their Jaccard similarity is, and the sets."""
    shared = round(2 * size * jaccard / (1 + jaccard))
    union = dice.integers(0, 1 << 32, 2 * size - shared, dtype=np.uint32)
    return shared / (2 * size - shared), [union[:size], union[size - shared :]]


def signatures_of(sets: list) -> np.ndarray:
    offsets = np.concatenate([[0], np.cumsum([len(values) for values in sets])])
    return minhash(np.concatenate(sets), offsets).T


def test_smallest_values_are_exact() -> None:
    dice = np.random.default_rng(1)
    sets = [dice.integers(0, 1 << 32, size, dtype=np.uint32) for size in (1, 2, 40)]
    for values, signature in zip(sets, signatures_of(sets), strict=True):
        assert signature.tolist() == [
            min((int(slope) * int(value) + int(shift)) % (1 << 32) for value in values)
            for slope, shift in zip(_SLOPES, _SHIFTS, strict=True)
        ]


def test_permutations_are_permutations_and_differ() -> None:
    assert (_SLOPES % 2 == 1).all()
    assert len(set(_SLOPES.tolist())) == len(set(_SHIFTS.tolist())) == HASHES


@pytest.mark.parametrize("size", [30, 400])
@pytest.mark.parametrize("jaccard", [0.2, 0.5, 0.8, 0.95])
def test_agreement_estimates_the_jaccard_similarity(jaccard: float, size: int) -> None:
    dice = np.random.default_rng(2)
    pairs = [pair_of_sets(jaccard, size, dice) for _ in range(300)]
    exact = pairs[0][0]
    signatures = signatures_of([values for _, sets in pairs for values in sets])
    agreement = (signatures[0::2] == signatures[1::2]).mean(axis=1)
    sigma = (exact * (1 - exact) / HASHES) ** 0.5
    assert abs(agreement.mean() - exact) < 4 * sigma / len(pairs) ** 0.5
    assert (agreement - exact).std() == pytest.approx(sigma, rel=4 / (2 * len(pairs)) ** 0.5)


def test_the_estimate_is_as_good_as_that_of_datasketch() -> None:
    datasketch = pytest.importorskip("datasketch")
    dice = np.random.default_rng(3)
    ours, theirs = [], []
    for jaccard in np.linspace(0.1, 0.95, 40):
        exact, sets = pair_of_sets(float(jaccard), 200, dice)
        first, second = signatures_of(sets)
        ours.append((first == second).mean() - exact)
        sketches = [datasketch.MinHash(num_perm=HASHES) for _ in sets]
        for sketch, values in zip(sketches, sets, strict=True):
            sketch.update_batch([value.tobytes() for value in values])
        theirs.append(sketches[0].jaccard(sketches[1]) - exact)
    assert np.sqrt(np.mean(np.square(ours))) < 1.3 * np.sqrt(np.mean(np.square(theirs)))


@pytest.mark.parametrize("jaccard", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_recall_follows_the_formula(jaccard: float) -> None:
    dice = np.random.default_rng(4)
    pairs = [pair_of_sets(jaccard, 100, dice) for _ in range(500)]
    signatures = signatures_of([values for _, sets in pairs for values in sets])
    agrees = (signatures[0::2] == signatures[1::2]).reshape(-1, BANDS, ROWS)
    recall = agrees.all(axis=2).any(axis=1).mean()
    expected = 1 - (1 - pairs[0][0] ** ROWS) ** BANDS
    assert abs(recall - expected) < 4 * (expected * (1 - expected) / len(pairs)) ** 0.5 + 1e-3


def test_recall_of_edited_texts_and_no_false_pairs() -> None:
    dice = random.Random(5)
    vocabulary = [f"w{number}" for number in "abcdefghijklmnop" for number in (number * 2,)]
    vocabulary += ["".join(dice.choices("abcdefghij", k=6)) for _ in range(2000)]
    originals, copies = [], []
    for _ in range(150):
        words = dice.choices(vocabulary, k=300)
        originals.append(" ".join(words))
        words[dice.randrange(300)] = "changed"  # 5 of 296 shingles: J = 0.967
        copies.append(" ".join(words).title() + "!")
    bands, has_words = band_hashes(pl.Series(originals + copies))
    assert has_words.all()
    equal = (bands[:150, None] == bands[None, 150:]).any(axis=2)
    assert equal.diagonal().all()
    assert equal.sum() == 150


def expected_shingles(words: list[int]) -> list[tuple[int, ...]]:
    if 0 < len(words) < 5:
        return [tuple(words)]
    return [tuple(words[start : start + 5]) for start in range(len(words) - 4)]


@given(TEXTS)
def test_shingles_are_runs_of_five_words(texts: list[str]) -> None:
    hashes, offsets = word_hashes(pl.Series(texts))
    words = [hashes[a:b].tolist() for a, b in itertools.pairwise(offsets)]
    expected = [expected_shingles(of_text) for of_text in words]
    found, ends = shingles(hashes, offsets)
    assert np.diff(ends).tolist() == [len(of_text) for of_text in expected]
    runs = [run for of_text in expected for run in of_text]
    pairs = set(zip(runs, found.tolist(), strict=True))
    assert len(pairs) == len(set(runs)) == len(set(found.tolist()))


@given(TEXTS)
def test_a_row_depends_on_its_text_only(texts: list[str]) -> None:
    bands, has_words = band_hashes(pl.Series(texts))
    for text, row, has in zip(texts, bands, has_words, strict=True):
        alone, has_alone = band_hashes(pl.Series([text]))
        assert (alone[0] == row).all()
        assert has == has_alone[0] == bool(text.strip())
        assert has or not row.any()


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pl.Series([f"number {'é' * (n % 3)} " * (n % 7) for n in range(60)])
    whole, has_words = band_hashes(texts)
    monkeypatch.setattr("modelwright.data.duplicates.signature.TEXT_BYTES_AT_ONCE", 100)
    parts, has_words_in_parts = band_hashes(texts)
    assert (whole == parts).all()
    assert (has_words == has_words_in_parts).all()
    assert not has_words[0]


def test_no_texts() -> None:
    bands, has_words = band_hashes(pl.Series([], dtype=pl.String))
    assert bands.shape == (0, BANDS)
    assert has_words.shape == (0,)


def test_stored_values_never_change() -> None:
    bands, _ = band_hashes(pl.Series(["It was the best of times, it was the worst of times."]))
    assert bands[0, [0, 1, 13]].tolist() == GOLDEN


GOLDEN = [6364016032477230210, 999022173245771546, 1682370340848680757]
