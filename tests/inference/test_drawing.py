"""Draws of the CPU kernels beside those of PyTorch."""

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from modelwright.inference.kernels.drawing import RUN, draw_tokens
from modelwright.inference.sampler import SamplingRows, probabilities
from modelwright.inference.sampling import SamplingParams


def drawn(logits: torch.Tensor, params: SamplingParams, noise: list[float]) -> list[int]:
    """A token for each of the numbers, all from the same logits (V,)."""
    count, found = len(noise), np.full(len(noise), -1)
    draw_tokens(
        np.ascontiguousarray(logits.expand(count, -1).numpy()),
        np.full(count, params.temperature, np.float32),
        np.full(count, params.min_p, np.float32),
        np.full(count, params.top_k),
        np.full(count, params.top_p, np.float64),
        np.array(noise),
        found,
    )
    return list(found)


@given(
    st.integers(1, 3 * RUN),
    st.sampled_from([0.3, 1.0, 30.0]),
    st.sampled_from([0.0, 1e-3, 0.2, 1.0]),
    st.sampled_from([0, 1, 7, 300, 5000]),
    st.floats(0.01, 1),
    st.booleans(),
    st.integers(0, 1000),
)
def test_tokens_lie_where_the_distribution_has_them(
    count: int, temperature: float, min_p: float, top_k: int, top_p: float, tied: bool, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, generator=random) * 3
    if tied:
        logits = logits.round()
    if count > 2:
        logits[count // 2] = -torch.inf
    params = SamplingParams(1, temperature=temperature, min_p=min_p, top_k=top_k, top_p=top_p)
    rows = SamplingRows([params], torch.device("cpu"))
    free = SamplingRows(
        [SamplingParams(1, temperature=temperature, min_p=min_p, top_k=top_k)], rows.device
    )
    ordered = probabilities(logits[None], free)[0].double().sort(descending=True).values
    # Where a sum is as good as top-p, rounding decides.
    assume(top_p == 1 or (ordered.cumsum(0) - top_p).abs().min() > 1e-5)
    expected = probabilities(logits[None], rows)[0].double()
    ends = expected.cumsum(0)
    noise = [0.0, 1 - 2**-53, *torch.rand(50, generator=random, dtype=torch.float64).tolist()]
    for number, token in zip(noise, drawn(logits, params, noise), strict=True):
        assert expected[token] > 0
        assert ends[token] - expected[token] - 1e-5 <= number <= ends[token] + 1e-5


def test_what_cannot_be_is_never_drawn() -> None:
    logits = torch.tensor([-torch.inf, 1.0, -torch.inf, 1.0, -torch.inf])
    assert drawn(logits, SamplingParams(1, temperature=1.0), [0.0, 0.49, 0.51, 1 - 2**-53]) == [
        1, 1, 3, 3,
    ]  # fmt: skip


def test_of_equal_ones_the_first_are_kept() -> None:
    noise = [number / 100 for number in range(100)]
    params = SamplingParams(1, temperature=1.0, top_k=3)
    assert set(drawn(torch.zeros(2 * RUN), params, noise)) == {0, 1, 2}
    params = SamplingParams(1, temperature=1.0, top_p=0.6)
    assert set(drawn(torch.zeros(5), params, noise)) == {0, 1, 2}


def test_frequencies_are_those_of_the_distribution() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    noise = torch.rand(20_000, generator=torch.Generator().manual_seed(1)).double().tolist()
    found = np.bincount(drawn(logits, SamplingParams(1, temperature=1.0, top_p=0.9), noise))
    assert np.allclose(found / 20_000, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95], atol=0.01)


def test_where_nothing_can_be_drawn_it_ends_all_the_same() -> None:
    params = SamplingParams(1, temperature=1.0)
    for strange in (torch.full((2 * RUN + 3,), -torch.inf), torch.tensor([1.0, torch.inf, 2.0])):
        (token,) = drawn(strange, params, [0.7])
        assert 0 <= token < len(strange)
