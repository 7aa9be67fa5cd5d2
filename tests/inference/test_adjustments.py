"""Bias, penalties and a least length, against transformers where it has the same."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import MinPLogitsWarper, RepetitionPenaltyLogitsProcessor

from modelwright.inference.adjustments import adjusted
from modelwright.inference.sampler import SamplingRows, make_generator, probabilities
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.sequence import Sequence

VOCABULARY = 12
LOGITS = torch.randn(2, VOCABULARY, generator=torch.Generator().manual_seed(0)) * 3
TOKENS = st.lists(st.integers(0, VOCABULARY - 1), max_size=9)


def sequence(
    generated: list[int], prompt: tuple[int, ...] = (1, 1, 2), **asked: object
) -> Sequence:
    params = SamplingParams(**{"max_tokens": 50, **asked})  # type: ignore[arg-type]
    made = Sequence(list(prompt), params, make_generator(params))
    made.generated += generated
    return made


def test_nothing_asked_for_changes_nothing() -> None:
    assert adjusted(LOGITS, [sequence([3]), sequence([])], {0}) is LOGITS


def test_rows_do_not_touch_each_other_nor_the_given_logits() -> None:
    before = LOGITS.clone()
    out = adjusted(LOGITS, [sequence([3], logit_bias={3: 2.0}), sequence([3])], {0})
    assert torch.equal(out[1], LOGITS[1])
    assert torch.equal(LOGITS, before)
    assert out[0, 3] == LOGITS[0, 3] + 2


def test_the_text_cannot_end_too_early() -> None:
    rows = [sequence([5, 5], min_tokens=3), sequence([5, 5, 5], min_tokens=3)]
    out = adjusted(LOGITS, rows, {0, 7})
    assert out[0, [0, 7]].tolist() == [-math.inf] * 2
    assert torch.equal(out[1], LOGITS[1])


@given(TOKENS, TOKENS.filter(bool), st.floats(0.1, 5))
def test_the_repetition_penalty_is_that_of_transformers(
    generated: list[int], prompt: list[int], penalty: float
) -> None:
    one = sequence(generated, tuple(prompt), repetition_penalty=penalty)
    wanted = RepetitionPenaltyLogitsProcessor(penalty)(
        torch.tensor([prompt + generated]), LOGITS[:1].clone()
    )
    torch.testing.assert_close(adjusted(LOGITS[:1], [one], set()), wanted)


@given(TOKENS, st.floats(-2, 2), st.floats(-2, 2))
def test_penalties_for_what_was_said(generated: list[int], presence: float, often: float) -> None:
    one = sequence(generated, presence_penalty=presence, frequency_penalty=often)
    wanted = LOGITS[0].clone()
    for token in range(VOCABULARY):
        count = generated.count(token)
        wanted[token] -= presence * (count > 0) + often * count
    torch.testing.assert_close(adjusted(LOGITS[:1], [one], set())[0], wanted)


@given(st.floats(0.01, 1), st.floats(0.2, 3))
def test_min_p_is_that_of_transformers(min_p: float, temperature: float) -> None:
    params = SamplingParams(1, temperature=temperature, min_p=min_p)
    wanted = MinPLogitsWarper(min_p)(torch.tensor([[0]]), LOGITS[:1] / temperature).softmax(-1)
    rows = SamplingRows([params], LOGITS.device)
    torch.testing.assert_close(probabilities(LOGITS[:1], rows), wanted)
