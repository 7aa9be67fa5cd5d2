import gzip
import json
import math
import random
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.training.forecast import EXCESS, LOOK_BACK, NOVELS, REPEATS, Text, difficulty
from modelwright.training.shapes import shape_config

PARTS = (1e-4, 1e-3, 0.01, 0.1, 0.3, 1.0, 3.0)
POINTS = Path(__file__).parents[2] / "benchmarks" / "training" / "scaling.jsonl"


def test_larger_models_and_more_tokens_reach_more() -> None:
    small = NOVELS.bits_per_byte(1e6, 1e6)
    assert NOVELS.bits_per_byte(2e6, 1e6) < small
    assert NOVELS.bits_per_byte(1e6, 2e6) < small
    assert NOVELS.floor < NOVELS.bits_per_byte(1e12, 1e15) < NOVELS.floor + 0.1


def test_the_law_is_near_the_points_that_it_was_fitted_to() -> None:
    lines = POINTS.read_text().splitlines()
    starts = {json.loads(line)["point"]["start"] for line in lines}
    assert starts == {"random", "bigrams"}
    for line in lines:
        figure = json.loads(line)
        shape = figure["point"]
        weights = shape_config(shape["hidden_size"], shape["layers"], 4096).matrix_weights()
        text, from_bigrams = Text(figure["text_tokens"]), shape["start"] == "bigrams"
        said = text.bits_per_byte(weights, figure["tokens"], from_bigrams)
        if from_bigrams and "looks_back" not in figure:  # from before there were such heads
            unseen = max(0.0, text.tokens - text.distinct_tokens(figure["tokens"]))
            said /= 1.0 - LOOK_BACK * unseen / text.tokens
        assert said == pytest.approx(figure["bits_per_byte"], rel=0.01)


def test_hardly_any_tokens_are_expected_to_teach_nothing_beyond_bigrams() -> None:
    assert Text(1e6).bits_per_byte(1e6, 1.0, from_bigrams=False) == 8.0
    small, large = (Text(1e7).bits_per_byte(n, 1.0, from_bigrams=True) for n in (1e6, 1e9))
    assert 1.5 < small < 2.5
    assert large == pytest.approx(small, rel=1e-3)
    assert Text(1e4).bits_per_byte(1e6, 1.0, from_bigrams=True) > small


@given(st.floats(300, 1e8), st.floats(6e5, 1e7), st.booleans())
def test_more_training_is_hardly_expected_to_harm(
    size: float, weights: float, from_bigrams: bool
) -> None:
    text = Text(size)
    reached = [text.bits_per_byte(weights, part * size, from_bigrams) for part in PARTS]
    for fewer, more in pairwise(reached):
        assert more <= fewer * (1 + 1.5 * LOOK_BACK)


def test_bigrams_of_a_text_that_is_read_are_worth_nothing() -> None:
    text = Text(5e5)
    for tokens, is_less in ((1e5, True), (5e5, False), (2e6, False)):
        by_start = [text.bits_per_byte(1e6, tokens, one) for one in (True, False)]
        assert (by_start[0] < by_start[1]) == is_less


@given(st.floats(1, 1e12), st.floats(1, 1e10))
def test_reading_again_is_worth_no_more_than_reading_anew(tokens: float, size: float) -> None:
    text = Text(size)
    worth = text.distinct_tokens(tokens)
    assert worth <= tokens * (1 + 1e-9)
    assert worth <= (1 + REPEATS) * size * (1 + 1e-9) or worth == pytest.approx(tokens)
    assert text.distinct_tokens(2 * tokens) >= worth


def test_a_text_that_is_not_read_twice_counts_in_full() -> None:
    assert Text(5e6).distinct_tokens(5e6) == 5e6


def test_repetitions_count_as_in_equation_5_of_the_paper() -> None:
    worth = 1e6 * (1 + REPEATS * (1 - math.exp(-3 / REPEATS)))
    assert Text(1e6).distinct_tokens(4e6) == pytest.approx(worth)


def test_difficulty_follows_how_well_a_text_compresses() -> None:
    numbers = random.Random(0)
    noise = bytes(numbers.randrange(256) for _ in range(100_000))
    words = " ".join(numbers.choice(("the", "a", "cat", "sat", "mat")) for _ in range(20_000))
    assert difficulty(b"") == 1.0
    assert difficulty(b"a" * 10_000) < difficulty(words.encode()) < 1.0 < difficulty(noise)


def test_a_harder_text_is_expected_to_take_more_bits() -> None:
    easy, hard = Text(1e6, 0.8), Text(1e6, 1.1)
    expected = easy.bits_per_byte(1e6, 1e6, True) * 1.1 / 0.8
    assert hard.bits_per_byte(1e6, 1e6, True) == pytest.approx(expected)


@given(st.floats(1e3, 1e12), st.floats(1, 1e10))
def test_a_text_can_fill_only_so_many_weights(weights: float, size: float) -> None:
    text = Text(size)
    worth, most = text.weights_filled(weights), (1 + EXCESS) * NOVELS.best_weights(size)
    assert worth <= weights * (1 + 1e-9)
    assert worth <= most * (1 + 1e-9)
    assert text.weights_filled(2 * weights) >= worth
    assert Text(1e3 * size).weights_filled(weights) >= worth


@pytest.mark.parametrize("tokens", [1e5, 1e7, 1e9])
def test_the_best_size_is_that_of_which_no_other_gains_more_with_as_many_operations(
    tokens: float,
) -> None:
    weights = NOVELS.best_weights(tokens)
    best = NOVELS.bits_per_byte(weights, tokens)
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert NOVELS.bits_per_byte(weights * factor, tokens / factor) > best


def test_a_short_text_is_measured_beside_short_novels(shared_data: Path) -> None:
    text = bytearray()
    for path in sorted((shared_data / "english_novels").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in islice(lines, 0, None, 20):
                text += json.loads(line)["text"].encode()
    for length in (1_000, 20_000, 500_000):
        starts = range(0, len(text) - length, max(length, len(text) // 20))
        measured = [difficulty(bytes(text[start : start + length])) for start in starts]
        assert sum(measured) / len(measured) == pytest.approx(1.0, abs=0.08)
