from __future__ import annotations

import math
import shutil
import subprocess

import pytest

from modelwright.evaluation.text_baselines import (
    SMOOTHING,
    bigram_bits_per_byte,
    primed_xz_bits_per_byte,
    xz_bits_per_byte,
)

PROSE = [f"Sentence number {index} says {index * 37 % 101} things.\n" for index in range(400)]


@pytest.mark.skipif(shutil.which("xz") is None, reason="the xz program is not installed")
def test_xz_equals_the_program() -> None:
    data = "".join(PROSE).encode()
    packed = subprocess.run(["xz", "-9", "-T1", "-c"], input=data, capture_output=True, check=True)
    assert xz_bits_per_byte(PROSE) == 8 * len(packed.stdout) / len(data)


def test_priming_helps_with_text_of_the_same_kind() -> None:
    held_out = PROSE[::10]
    training = [text for index, text in enumerate(PROSE) if index % 10]
    primed = primed_xz_bits_per_byte(training, held_out)
    assert 0 < primed < xz_bits_per_byte(held_out)


def test_text_that_was_seen_costs_next_to_nothing() -> None:
    assert primed_xz_bits_per_byte(PROSE, PROSE) < 0.2


def test_bigram_by_hand() -> None:
    # Trained on "ab": from the start only a, after a only b, after b nothing is known.
    seen = math.log2((1 + SMOOTHING) / (1 + 256 * SMOOTHING))
    unseen = math.log2(SMOOTHING / (1 + 256 * SMOOTHING))
    unknown = math.log2(1 / 256)
    assert bigram_bits_per_byte(["ab"], ["ab"]) == pytest.approx(-seen)
    assert bigram_bits_per_byte(["ab"], ["abb"]) == pytest.approx(-(2 * seen + unknown) / 3)
    assert bigram_bits_per_byte(["ab"], ["b", "a"]) == pytest.approx(-(unseen + seen) / 2)


def test_bigram_counts_bytes_not_characters() -> None:
    once = bigram_bits_per_byte([], ["é"])
    assert once == pytest.approx(8.0)
