"""KTO: golden numbers and the baseline."""

from __future__ import annotations

import torch

from modelwright.training.losses.unpaired import kl_baseline, kto

DESIRABLE = torch.tensor([True, False, True, False])


def test_a_policy_that_is_its_reference() -> None:
    losses = kto(torch.zeros(4), DESIRABLE, torch.tensor(0.0), 0.1)
    assert losses.tolist() == [0.5] * 4


def test_it_is_the_formula_with_weights() -> None:
    ratios, z0 = torch.tensor([1.0, 2.0, -3.0, -4.0], requires_grad=True), torch.tensor(0.5)
    losses = kto(ratios, DESIRABLE, z0, 0.2, 1.5, 0.75)
    gain, pain = 0.2 * (ratios - z0), 0.2 * (z0 - ratios)
    wanted = torch.where(
        DESIRABLE, 1.5 * (1 - torch.sigmoid(gain)), 0.75 * (1 - torch.sigmoid(pain))
    )
    torch.testing.assert_close(losses, wanted)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert ratios.grad is not None
    assert (ratios.grad.sign() == torch.tensor([-1.0, 1.0, -1.0, 1.0])).all()


def test_no_gradient_reaches_the_baseline() -> None:
    mismatches = torch.tensor([1.0, 3.0], requires_grad=True)
    ratios = torch.zeros(4, requires_grad=True)
    kto(ratios, DESIRABLE, kl_baseline(mismatches), 0.1).sum().backward()  # type: ignore[no-untyped-call]
    assert ratios.grad is not None
    assert mismatches.grad is None


def test_the_baseline_is_never_below_zero() -> None:
    assert kl_baseline(torch.tensor([1.0, 3.0])) == 2.0
    assert kl_baseline(torch.tensor([1.0, -3.0])) == 0.0


def test_apo_zero_has_no_baseline() -> None:
    ratios = torch.tensor([1.0, 2.0, -3.0, -4.0])
    wanted = torch.where(DESIRABLE, torch.sigmoid(-0.3 * ratios), torch.sigmoid(0.3 * ratios))
    torch.testing.assert_close(kto(ratios, DESIRABLE, torch.zeros(()), 0.3), wanted)
