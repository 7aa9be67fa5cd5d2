"""Preference losses: golden numbers, limits, and what each formula promises."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from modelwright.core.errors import UsageError
from modelwright.training.losses.preference import (
    PREFERENCE_LOSSES,
    Pairs,
    comparison_measures,
    implicit_rewards,
    preference_loss,
)

LN2 = math.log(2)
SMOOTHING = 0.1

AT_THE_REFERENCE = {  # β = 0.1, ε = 0.1
    "sigmoid": LN2,
    "cdpo": LN2,
    "robust": LN2,
    "sigmoid_norm": LN2,
    "hinge": 1.0,
    "ipo": 25.0,
    "exo_pair": -LN2 - 0.5 * (math.log(0.9) + math.log(0.1)),
    "nca_pair": 2 * LN2,
    "bco_pair": 2 * LN2,
    "sppo_hard": 50.0,
    "aot": LN2,
    "aot_unpaired": LN2,
    "apo_zero": 1.0,
    "apo_down": 1.0,
    "discopop": 0.5 * LN2 + 0.5,
}


def pairs(chosen: Tensor, rejected: Tensor, chosen_reference: Tensor, rejected_reference: Tensor):  # type: ignore[no-untyped-def]
    lengths = torch.arange(len(chosen)) % 5 + 1.0
    return Pairs(chosen, rejected, chosen_reference, rejected_reference, lengths, lengths.flip(0))


def random_pairs(count: int, seed: int, scale: float = 20.0) -> Pairs:
    generator = torch.Generator().manual_seed(seed)
    values = -scale * torch.rand(4, count, generator=generator)
    return pairs(*values.requires_grad_().unbind())


def test_every_loss_has_a_golden_number() -> None:
    assert set(AT_THE_REFERENCE) == set(PREFERENCE_LOSSES)


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
def test_a_policy_that_is_its_reference(name: str) -> None:
    chosen, rejected = torch.tensor([-3.0, -40.0, -7.0]), torch.tensor([-5.0, -2.0, -9.0])
    losses = preference_loss(name)(pairs(chosen, rejected, chosen, rejected), 0.1, SMOOTHING)
    assert losses.shape == (3,)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, torch.full((3,), AT_THE_REFERENCE[name]))


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
@pytest.mark.parametrize("distance", [-300.0, 300.0])
def test_far_from_the_reference_all_is_finite(name: str, distance: float) -> None:
    given = [torch.full((2,), value, requires_grad=True) for value in (distance, -distance)]
    losses = preference_loss(name)(pairs(*given, torch.zeros(2), torch.zeros(2)), 0.1, SMOOTHING)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert losses.isfinite().all()
    assert all(value.grad.isfinite().all() for value in given if value.grad is not None)


@pytest.mark.parametrize("name", sorted(set(PREFERENCE_LOSSES) - {"aot", "aot_unpaired"}))
def test_a_pair_has_a_loss_of_its_own(name: str) -> None:
    """So accumulated steps equal full ones."""
    together, alone = random_pairs(5, 1), random_pairs(5, 1)
    fields = [
        getattr(alone, field)[3:4]
        for field in ("chosen", "rejected", "chosen_reference", "rejected_reference")
    ]
    one = Pairs(*fields, alone.chosen_lengths[3:4], alone.rejected_lengths[3:4])
    loss = preference_loss(name)
    assert torch.equal(loss(together, 0.3, SMOOTHING)[3:4], loss(one, 0.3, SMOOTHING))


@given(st.integers(0, 999), st.floats(0.01, 2.0), st.floats(0.0, 0.45))
def test_cdpo_is_the_cross_entropy_of_noisy_labels(seed: int, beta: float, noise: float) -> None:
    found = random_pairs(4, seed)
    logits = beta * found.margins.double()
    right = torch.sigmoid(logits).log()
    wanted = -(1 - noise) * right - noise * (right - logits)  # log(1 - p) = log p - logit
    ours = preference_loss("cdpo")(found, beta, noise)
    torch.testing.assert_close(ours, wanted.float(), rtol=1e-4, atol=1e-5)


@given(st.integers(0, 999), st.floats(0.01, 0.45))
def test_robust_dpo_is_unbiased(seed: int, noise: float) -> None:
    """The mean over flipped labels of the robust loss is DPO's loss with the true labels."""
    found = random_pairs(4, seed)
    flipped = Pairs(
        found.rejected,
        found.chosen,
        found.rejected_reference,
        found.chosen_reference,
        found.rejected_lengths,
        found.chosen_lengths,
    )
    robust = preference_loss("robust")
    mean = (1 - noise) * robust(found, 0.1, noise) + noise * robust(flipped, 0.1, noise)
    wanted = preference_loss("sigmoid")(found, 0.1, 0.0)
    torch.testing.assert_close(mean, wanted, rtol=1e-3, atol=1e-4)


def test_without_noise_robust_and_cdpo_are_dpo() -> None:
    found = random_pairs(6, 3)
    wanted = preference_loss("sigmoid")(found, 0.2, 0.0)
    torch.testing.assert_close(preference_loss("robust")(found, 0.2, 0.0), wanted)
    torch.testing.assert_close(preference_loss("cdpo")(found, 0.2, 0.0), wanted)


def test_exo_is_a_divergence() -> None:
    """It is 0 where the policy's preference is the one that is wanted, and nowhere below."""
    beta, smoothing = 0.1, 0.2
    margin = torch.tensor([math.log(0.8 / 0.2) / beta])
    zero = torch.zeros(1)
    exo = preference_loss("exo_pair")
    assert exo(pairs(margin, zero, zero, zero), beta, smoothing).item() == pytest.approx(
        0.0, abs=1e-6
    )
    assert (exo(random_pairs(50, 4, 100.0), beta, smoothing) > -1e-6).all()


def test_aot_does_not_care_which_answers_are_pairs() -> None:
    found = random_pairs(6, 5)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    other = Pairs(
        found.chosen,
        found.rejected[order],
        found.chosen_reference,
        found.rejected_reference[order],
        found.chosen_lengths,
        found.rejected_lengths,
    )
    loss = preference_loss("aot_unpaired")
    assert torch.equal(loss(found, 0.1, 0.0), loss(other, 0.1, 0.0))


def test_one_pair_makes_aot_conservative_dpo() -> None:
    found = random_pairs(1, 6)
    wanted = preference_loss("cdpo")(found, 0.1, SMOOTHING)
    torch.testing.assert_close(preference_loss("aot")(found, 0.1, SMOOTHING), wanted)


def test_what_is_watched() -> None:
    chosen, rejected = torch.tensor([-1.0, -5.0, -2.0]), torch.tensor([-3.0, -4.0, -2.0])
    zero = torch.zeros(3)
    rewards = implicit_rewards(pairs(chosen.requires_grad_(), rejected, zero, zero), 0.5)
    assert not rewards[0].requires_grad
    measures = {name: value.tolist() for name, value in comparison_measures(*rewards).items()}
    assert measures == {
        "chosen_reward": [-0.5, -2.5, -1.0],
        "rejected_reward": [-1.5, -2.0, -1.0],
        "margin": [1.0, -0.5, 0.0],
        "accuracy": [1.0, 0.0, 0.0],
    }


@pytest.mark.parametrize(
    ("name", "smoothing"), [("robust", 0.5), ("robust", -0.1), ("exo_pair", 0)]
)
def test_an_impossible_label_smoothing_is_refused(name: str, smoothing: float) -> None:
    with pytest.raises(UsageError, match=name):
        preference_loss(name)(random_pairs(2, 0), 0.1, smoothing)


def test_an_unknown_loss_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        preference_loss("kto_pair")
    assert "sppo_hard" in str(caught.value)
