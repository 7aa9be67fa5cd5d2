"""Chunked log-probabilities and entropies equal torch's, in value and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from modelwright.training import cross_entropy
from modelwright.training.losses.log_probabilities import (
    log_probabilities,
    log_probabilities_and_entropies,
    sequence_sums,
    to_rows,
)

Case = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def case(rows: int, classes: int, seed: int) -> Case:
    """Hidden states, head, targets, and what the values and the entropies are multiplied by."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, 16, generator=generator).requires_grad_()
    head = torch.randn(classes, 16, generator=generator).requires_grad_()
    targets = torch.randint(classes, (rows,), generator=generator)
    return hidden, head, targets, *torch.randn(2, rows, generator=generator).unbind()


def plain(hidden: Tensor, head: Tensor, targets: Tensor, temperature: float):  # type: ignore[no-untyped-def]
    logs = F.log_softmax(F.linear(hidden, head) / temperature, -1)
    return logs.gather(1, targets[:, None]).squeeze(1), -(logs.exp() * logs).sum(-1)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 40),
    st.integers(2, 50),
    st.integers(1, 300),
    st.floats(0.3, 3.0),
    st.integers(0, 99),
)
def test_values_and_gradients(
    rows: int, classes: int, elements: int, temperature: float, seed: int
) -> None:
    *found, scale, entropy_scale = case(rows, classes, seed)
    hidden, head, targets, _, _ = case(rows, classes, seed)
    # In float64, as float32 rounds the plain form as much as ours.
    exact = [one.detach().double().requires_grad_() for one in (hidden, head)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_entropy, "CHUNK_ELEMENTS", elements)
        ours = log_probabilities_and_entropies(*found, temperature)
        ((ours[0] * scale).sum() + (ours[1] * entropy_scale).sum()).backward()  # type: ignore[no-untyped-call]
    theirs = plain(*exact, targets, temperature)
    ((theirs[0] * scale).sum() + (theirs[1] * entropy_scale).sum()).backward()
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.double(), their, rtol=1e-4, atol=1e-5)
    for our, their in zip(found[:2], exact, strict=True):
        # Where a distribution is nearly certain, gradients are small and the rounding is not.
        assert (our.grad.double() - their.grad).norm() <= 1e-5 * (1 + their.grad.norm())


def test_without_entropies_it_is_the_same() -> None:
    (hidden, head, targets, scale, _), wanted = case(33, 20, 0), case(33, 20, 0)
    value = log_probabilities(hidden, head, targets, 0.7)
    (value * scale).sum().backward()  # type: ignore[no-untyped-call]
    both = log_probabilities_and_entropies(*wanted[:3], 0.7)
    (both[0] * scale).sum().backward()  # type: ignore[no-untyped-call]
    assert torch.equal(value, both[0])
    torch.testing.assert_close(hidden.grad, wanted[0].grad)
    torch.testing.assert_close(head.grad, wanted[1].grad)


def test_a_frozen_head_gets_no_gradient() -> None:
    (hidden, head, targets, scale, _), wanted = case(33, 20, 0), case(33, 20, 0)
    (log_probabilities(hidden, head.detach(), targets) * scale).sum().backward()  # type: ignore[no-untyped-call]
    (log_probabilities(*wanted[:3]) * scale).sum().backward()  # type: ignore[no-untyped-call]
    assert head.grad is None
    assert torch.equal(hidden.grad, wanted[0].grad)  # type: ignore[arg-type]


def test_without_gradients_it_is_the_same_value() -> None:
    hidden, head, targets, *_ = case(33, 20, 0)
    value = log_probabilities(hidden, head, targets)
    with torch.no_grad():
        assert torch.equal(log_probabilities(hidden, head, targets), value)


def test_under_autocast_values_and_gradients_are_float32_and_near() -> None:
    (hidden, head, targets, scale, _), wanted = case(64, 50, 1), case(64, 50, 1)
    with torch.autocast("cpu", torch.bfloat16):
        value = log_probabilities(hidden, head, targets)
        assert value.dtype == torch.float32
    (value * scale).sum().backward()  # type: ignore[no-untyped-call]
    (plain(*wanted[:3], 1.0)[0] * scale).sum().backward()
    for ours, theirs in zip((hidden, head), wanted[:2], strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert ours.grad.dtype == torch.float32
        assert (ours.grad - theirs.grad).norm() / theirs.grad.norm() < 0.02


def test_the_logits_are_never_there_as_a_whole() -> None:
    rows, classes = 4096, 2048
    hidden = torch.randn(rows, 8).requires_grad_()
    head = torch.randn(classes, 8).requires_grad_()
    targets = torch.zeros(rows, dtype=torch.int64)
    with torch.profiler.profile(profile_memory=True) as profile:
        log_probabilities(hidden, head, targets).sum().backward()  # type: ignore[no-untyped-call]
    largest = max(event.cpu_memory_usage for event in profile.events() or [])
    assert largest < 4 * rows * classes / 2


def test_sums_of_sequences_are_those_of_their_tokens() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    sums = sequence_sums(values, torch.tensor([2, 0, 2, 0]), 4)
    assert sums.tolist() == [6.0, 0.0, 4.0, 0.0]
    (sums * torch.tensor([1.0, 10.0, 100.0, 1000.0])).sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert values.grad.tolist() == [100.0, 1.0, 100.0, 1.0]


def test_values_go_back_to_where_the_mask_is_true() -> None:
    mask = torch.tensor([[False, True, True], [True, False, False]])
    values = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    rows = to_rows(values, mask)
    assert rows.tolist() == [[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]]
    (rows * torch.tensor([[9.0, 1.0, 2.0], [3.0, 9.0, 9.0]])).sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert values.grad.tolist() == [1.0, 2.0, 3.0]
