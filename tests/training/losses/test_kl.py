"""Estimates of the divergence: their means and gradients over all tokens are the true ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from modelwright.training.losses.kl import KLForm, kl_estimates, kl_penalties


def distributions(seed: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities of policy and reference over 6 tokens, from logits of which the first is
    returned with a gradient."""
    generator = torch.Generator().manual_seed(seed)
    logits, reference = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), reference.log_softmax(-1)


@given(st.integers(0, 999), st.sampled_from(["k1", "k3"]))
def test_k1_and_k3_are_unbiased(seed: int, form: KLForm) -> None:
    logits, reference = distributions(seed)
    policy = logits.log_softmax(-1).detach()
    mean = (policy.exp() * kl_estimates(form, policy, reference)).sum()
    torch.testing.assert_close(mean, (policy.exp() * (policy - reference)).sum())


@given(st.integers(0, 999))
def test_k2_and_k3_are_never_negative(seed: int) -> None:
    logits, reference = distributions(seed)
    policy = logits.log_softmax(-1)
    assert kl_estimates("k2", policy, reference).ge(0).all()
    assert kl_estimates("k3", policy, reference).ge(0).all()


def test_near_the_reference_k3_keeps_its_digits() -> None:
    found = kl_estimates("k3", torch.tensor([-1.0]), torch.tensor([-1.0 + 2**-10]))
    assert found.item() == pytest.approx(2**-21, rel=1e-3)


@given(st.integers(0, 999), st.sampled_from(["k1", "k3"]))
def test_with_ratios_the_gradient_is_that_of_the_divergence(seed: int, form: KLForm) -> None:
    logits, reference = distributions(seed)
    policy = logits.log_softmax(-1)
    sampled = policy.detach().exp()
    ratios = (policy - policy.detach()).exp()
    penalty = (sampled * kl_penalties(form, policy, reference, ratios)).sum()
    (ours,) = torch.autograd.grad(penalty, logits, retain_graph=True)
    (wanted,) = torch.autograd.grad((policy.exp() * (policy - reference)).sum(), logits)
    torch.testing.assert_close(ours, wanted)


@given(st.integers(0, 999))
def test_without_ratios_only_k2_has_the_right_gradient(seed: int) -> None:
    logits, reference = distributions(seed)
    policy = logits.log_softmax(-1)
    sampled = policy.detach().exp()

    def gradient(form: KLForm) -> Tensor:
        total = (sampled * kl_penalties(form, policy, reference)).sum()
        return torch.autograd.grad(total, logits, retain_graph=True)[0]

    (wanted,) = torch.autograd.grad(
        (policy.exp() * (policy - reference)).sum(), logits, retain_graph=True
    )
    torch.testing.assert_close(gradient("k2"), wanted)
    torch.testing.assert_close(gradient("k1"), torch.zeros_like(wanted))
    forward = (reference.exp() * (reference - policy)).sum()
    torch.testing.assert_close(gradient("k3"), torch.autograd.grad(forward, logits)[0])
