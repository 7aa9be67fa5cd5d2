import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import InputError
from modelwright.inference.sampler import (
    SamplingRows,
    draw,
    make_generator,
    noise_of,
    probabilities,
    sample,
)
from modelwright.inference.sampling import SamplingParams

LOGITS = torch.tensor([[1.0, 3.0, 2.0, 0.0, -1.0]])


def rows_of(params: list[SamplingParams]) -> SamplingRows:
    return SamplingRows(params, torch.device("cpu"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"top_k": -1},
        {"top_k": 2**31},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"min_p": 1.1},
        {"presence_penalty": math.inf},
        {"presence_penalty": -1e31},
        {"frequency_penalty": math.nan},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": 1e-3},
        {"repetition_penalty": math.nan},
        {"logit_bias": dict.fromkeys(range(1025), 1.0)},
        {"logit_bias": {1: math.inf}},
        {"logit_bias": {1: 1e31}},
        {"min_tokens": 2},
        {"alternatives": 21},
        {"prompt_alternatives": -1},
        {"stop": ("",)},
        {"stop": ("x",) * 17},
        {"seed": -1},
        {"seed": 2**63},
    ],
)
def test_params_that_cannot_be_meant_are_refused_by_name(wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        SamplingParams(**{"max_tokens": 1, **wrong})


def test_temperature_divides_the_logits() -> None:
    got = probabilities(LOGITS, rows_of([SamplingParams(1, temperature=0.5)]))
    assert torch.allclose(got, (LOGITS / 0.5).softmax(-1))


def test_top_k_keeps_the_likeliest() -> None:
    got = probabilities(LOGITS, rows_of([SamplingParams(1, temperature=1.0, top_k=2)]))[0]
    expected = torch.tensor([0.0, math.e / (1 + math.e), 1 / (1 + math.e), 0.0, 0.0])
    assert torch.allclose(got, expected)


def test_top_k_breaks_ties_and_keeps_exactly_k() -> None:
    got = probabilities(torch.zeros(1, 6), rows_of([SamplingParams(1, temperature=1.0, top_k=3)]))[
        0
    ]
    assert torch.allclose(got, torch.tensor([1 / 3, 1 / 3, 1 / 3, 0, 0, 0]))


def test_top_p_keeps_the_smallest_set_that_reaches_p() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    got = probabilities(logits, rows_of([SamplingParams(1, temperature=1.0, top_p=0.6)]))[0]
    assert torch.allclose(got, torch.tensor([0.625, 0.375, 0.0, 0.0]))


def test_tiny_top_p_keeps_the_likeliest() -> None:
    got = probabilities(LOGITS, rows_of([SamplingParams(1, temperature=1.0, top_p=1e-9)]))[0]
    assert got.tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]


def test_min_p_keeps_what_is_likely_beside_the_likeliest() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    got = probabilities(logits, rows_of([SamplingParams(1, temperature=1.0, min_p=0.4)]))[0]
    assert torch.allclose(got, torch.tensor([0.625, 0.375, 0.0, 0.0]))
    rows = [SamplingParams(1, temperature=1.0, min_p=1.0), SamplingParams(1, temperature=1.0)]
    both = probabilities(logits.expand(2, -1), rows_of(rows))
    assert both[0].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert torch.allclose(both[1], logits[0].exp())


def test_rows_have_their_own_params() -> None:
    rows = [SamplingParams(1, 0.0), SamplingParams(1, 1.0, top_k=1), SamplingParams(1, 1.0)]
    logits = LOGITS.expand(3, -1)
    got = probabilities(logits, rows_of(rows))
    assert torch.allclose(got[2], LOGITS[0].softmax(-1))
    assert got[1].tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]
    tokens = sample(logits, rows_of(rows), [make_generator(row) for row in rows])
    assert tokens[:2].tolist() == [1, 1]


def test_greedy_takes_the_likeliest_at_any_tiny_temperature() -> None:
    for temperature in (0.0, 1e-320, 1e-12):
        params = SamplingParams(1, temperature)
        assert sample(LOGITS, rows_of([params]), [make_generator(params)]).item() == 1


def test_draws_follow_the_distribution() -> None:
    params = SamplingParams(1, temperature=1.0, seed=3)
    generator = make_generator(params)
    draws = 4000
    counts = torch.zeros(5)
    for _ in range(draws):
        counts[sample(LOGITS, rows_of([params]), [generator])] += 1
    expected = LOGITS[0].softmax(-1)
    # Five standard deviations of a binomial share.
    allowed = 5 * (expected * (1 - expected) / draws).sqrt()
    assert ((counts / draws - expected).abs() < allowed).all()


def test_what_has_no_probability_is_never_drawn() -> None:
    probability = torch.tensor([[0.0, 0.25, 0.0, 0.75, 0.0]]).expand(64, -1)
    rows = rows_of([SamplingParams(1, temperature=1.0, seed=seed) for seed in range(64)])
    drawn = draw(probability, noise_of(rows, [make_generator(row) for row in rows.params]))
    assert set(drawn.tolist()) == {1, 3}


@given(st.integers(0, 2**63 - 1), st.integers(0, 3))
def test_a_row_does_not_depend_on_its_neighbours(seed: int, place: int) -> None:
    params = SamplingParams(1, temperature=1.3, top_p=0.95, seed=seed)
    alone = sample(LOGITS, rows_of([params]), [make_generator(params)])
    rows = [SamplingParams(1, temperature=0.9, seed=index) for index in range(4)]
    rows[place] = params
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    logits[place] = LOGITS[0]
    together = sample(logits, rows_of(rows), [make_generator(row) for row in rows])
    assert together[place] == alone[0]
