"""Policy losses: what the ratio, the clip and the weights of tokens promise."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from modelwright.training.losses.policy import (
    AGGREGATIONS,
    Aggregation,
    RatioLevel,
    cispo,
    clipped,
    clipped_shares,
    log_ratios,
    sapo,
    token_weights,
)

MASK = torch.tensor([[True, True, True, False], [True, False, False, False], [False] * 4])


def random_tokens(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities now and then, and a mask of prefixes, (3, 4)."""
    generator = torch.Generator().manual_seed(seed)
    now, then = -3 * torch.rand(2, 3, 4, generator=generator)
    lengths = torch.randint(0, 5, (3, 1), generator=generator)
    return now.requires_grad_(), then, torch.arange(4) < lengths


def test_on_policy_the_gradient_is_that_of_reinforce() -> None:
    now, _, _ = random_tokens(0)
    advantages = torch.tensor([[1.0], [-2.0], [0.0]])
    ratios = log_ratios("token", now, now.detach(), MASK).exp()
    assert torch.equal(ratios, torch.ones(3, 4))
    for losses in (
        clipped(ratios, advantages),
        cispo(ratios, advantages, now),
        sapo(ratios, advantages, 1.0, 1.0),
    ):
        (gradient,) = torch.autograd.grad((losses * MASK).sum(), now, retain_graph=True)
        torch.testing.assert_close(gradient, -advantages * MASK)


def test_ratios_of_answers_are_over_their_real_tokens() -> None:
    now, then, _ = random_tokens(1)
    then = then.masked_fill(~MASK, -1e30)  # what padding says must not matter
    differences = [now[0, :3] - then[0, :3], now[1, :1] - then[1, :1], torch.zeros(1)]
    sums = torch.stack([part.sum() for part in differences])[:, None]
    means = torch.stack([part.mean() for part in differences])[:, None]
    torch.testing.assert_close(log_ratios("sequence_sum", now, then, MASK), sums)
    torch.testing.assert_close(log_ratios("sequence_mean", now, then, MASK), means)
    assert log_ratios("token", now, then, MASK)[~MASK].eq(0).all()


@pytest.mark.parametrize("level", get_args(RatioLevel))
@pytest.mark.parametrize("advantage", [-1.0, 1.0])
@pytest.mark.parametrize("distance", [-200.0, 200.0])
def test_however_far_off_policy_all_is_finite(
    level: RatioLevel, advantage: float, distance: float
) -> None:
    now = torch.full((3, 4), -300.0, requires_grad=True)
    ratios = log_ratios(level, now, now.detach() - distance, MASK).exp()
    losses = clipped(ratios, torch.full((3, 1), advantage))
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert losses.isfinite().all()
    assert now.grad is not None
    assert now.grad.isfinite().all()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.1, 1.0, -1.1, -1.0),  # inside
        (1.5, 1.0, -1.28, 0.0),  # too likely already
        (1.5, -1.0, 1.5, 1.0),  # must come back
        (0.5, 1.0, -0.5, -1.0),
        (0.5, -1.0, 0.8, 0.0),
        (9.0, -1.0, 4.0, 0.0),  # above the ceiling
    ],
)
def test_the_clip(ratio: float, advantage: float, loss: float, slope: float) -> None:
    ratios = torch.tensor([[ratio]], requires_grad=True)
    advantages = torch.tensor([[advantage]])
    found = clipped(ratios, advantages, 0.2, 0.28, ceiling=4.0)
    found.backward()  # type: ignore[no-untyped-call]
    assert ratios.grad is not None
    assert found.item() == pytest.approx(loss)
    assert ratios.grad.item() == pytest.approx(slope)
    low, high = clipped_shares(ratios.detach(), advantages, 0.2, 0.28)
    assert bool(low + high) == (slope == 0.0 and ratio < 4.0)


def test_cispo_limits_the_weight_and_keeps_the_gradient() -> None:
    now = torch.tensor([[-2.0]], requires_grad=True)
    loss = cispo(torch.tensor([[7.0]]), torch.tensor([[1.5]]), now, ceiling=5.0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert now.grad is not None
    assert (loss.item(), now.grad.item()) == (15.0, -7.5)


def test_sapo_fades_out() -> None:
    ratios = torch.tensor([[1.0, 3.0, 30.0]], requires_grad=True)
    sapo(ratios, torch.ones(1, 1)).sum().backward()  # type: ignore[no-untyped-call]
    assert ratios.grad is not None
    near, off, far = ratios.grad[0].tolist()
    assert near == pytest.approx(-1.0)
    assert near < off < far <= 0.0


def test_golden_weights() -> None:
    wanted = {
        "grpo": ([1 / 3] * 3, 1.0, 3.0),
        "bnpo": ([0.25] * 3, 0.25, 1.0),
        "dapo": ([1.0] * 3, 1.0, 4.0),
        "dr_grpo": ([1.0] * 3, 1.0, 30.0),
        "luspo": ([1.0] * 3, 1.0, 3.0),
    }
    assert set(wanted) == set(AGGREGATIONS) == set(get_args(Aggregation))
    for name, (first, second, divisor) in wanted.items():
        weights, found = AGGREGATIONS[name](MASK, 10)  # type: ignore[index]
        assert weights[0].tolist() == pytest.approx([*first, 0.0])
        assert weights[1].tolist() == pytest.approx([second, 0.0, 0.0, 0.0])
        assert weights[2].tolist() == [0.0] * 4
        assert found.item() == divisor
        assert weights.dtype == found.dtype == torch.float32


@given(st.integers(0, 999), st.sampled_from(["grpo", "dapo", "dr_grpo", "luspo"]))
def test_accumulated_micro_batches_are_one_batch(seed: int, aggregation: Aggregation) -> None:
    losses, _, mask = random_tokens(seed)
    weights, whole = token_weights(aggregation, mask, 4)
    parts = [token_weights(aggregation, mask[part], 4) for part in ([0], [1, 2])]
    assert torch.equal(torch.cat([part for part, _ in parts]), weights)
    assert sum(divisor for _, divisor in parts) == whole
    assert (losses * weights)[~mask].eq(0).all()


def test_bnpo_is_the_mean_of_means_over_micro_batches() -> None:
    losses = torch.tensor([[1.0, 2.0, 3.0, 9.0], [5.0, 9.0, 9.0, 9.0], [9.0] * 4])
    first, second = token_weights("bnpo", MASK[:1], 4), token_weights("bnpo", MASK[1:], 4)
    total = (losses[:1] * first[0]).sum() + (losses[1:] * second[0]).sum()
    assert (total / (first[1] + second[1])).item() == pytest.approx((2.0 + 5.0) / 2)
