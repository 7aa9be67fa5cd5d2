"""The chunked loss equals torch's, in value and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from modelwright.training import cross_entropy
from modelwright.training.cross_entropy import linear_cross_entropy

Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def case(rows: int, classes: int, seed: int) -> Case:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, 16, generator=generator).requires_grad_()
    head = torch.randn(classes, 16, generator=generator).requires_grad_()
    targets = torch.randint(classes, (rows,), generator=generator)
    weights = torch.rand(rows, generator=generator).round(decimals=1)
    return hidden, head, targets, weights


def plain(hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor):  # type: ignore[no-untyped-def]
    losses = F.cross_entropy(F.linear(hidden, head).float(), targets, reduction="none")
    return (losses * weights).sum()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(2, 50), st.integers(1, 300), st.integers(0, 99))
def test_value_and_gradients(rows: int, classes: int, elements: int, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_entropy, "CHUNK_ELEMENTS", elements)
        found = case(rows, classes, seed)
        value = linear_cross_entropy(*found)
        (value / 7).backward()
    wanted = case(rows, classes, seed)
    expected = plain(*wanted)
    (expected / 7).backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)
    for ours, theirs in zip(found[:2], wanted[:2], strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_without_gradients_it_is_the_same_value() -> None:
    hidden, head, targets, weights = case(33, 20, 0)
    with_gradients = linear_cross_entropy(hidden, head, targets, weights)
    with torch.no_grad():
        assert linear_cross_entropy(hidden, head, targets, weights) == with_gradients


@pytest.mark.parametrize("classes", [1, 7, 4096, 150_001])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_softmax_in_its_own_memory_is_the_same(dtype: torch.dtype, classes: int) -> None:
    logits = 5 * torch.randn(19, classes, generator=torch.Generator().manual_seed(0))
    logits = logits.to(dtype)
    expected = torch.softmax(logits.clone(), -1, dtype=torch.float32)
    found = cross_entropy.softmax_in_place(logits)
    assert torch.equal(found, expected)
    assert (found.data_ptr() == logits.data_ptr()) == (dtype == torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_form_for_gpus_is_the_same(dtype: torch.dtype) -> None:
    logits = torch.randn(33, 70, generator=torch.Generator().manual_seed(0)).to(dtype)
    targets = torch.randint(70, (33,), generator=torch.Generator().manual_seed(1))
    ours, theirs = cross_entropy.fused(logits, targets), cross_entropy.in_place(logits, targets)
    assert ours[1].dtype == theirs[1].dtype == dtype
    torch.testing.assert_close(ours, theirs)


def test_under_autocast_gradients_are_float32_and_near() -> None:
    found, wanted = case(64, 50, 1), case(64, 50, 1)
    with torch.autocast("cpu", torch.bfloat16):
        value = linear_cross_entropy(*found)
    value.backward()  # type: ignore[no-untyped-call]
    plain(*wanted).backward()
    for ours, theirs in zip(found[:2], wanted[:2], strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert ours.grad.dtype == torch.float32
        assert (ours.grad - theirs.grad).norm() / theirs.grad.norm() < 0.02


def test_the_logits_are_never_there_as_a_whole() -> None:
    rows, classes = 4096, 2048
    hidden = torch.randn(rows, 8).requires_grad_()
    head = torch.randn(classes, 8).requires_grad_()
    with torch.profiler.profile(profile_memory=True) as profile:
        linear_cross_entropy(
            hidden, head, torch.zeros(rows, dtype=torch.int64), torch.ones(rows)
        ).backward()  # type: ignore[no-untyped-call]
    largest = max(event.cpu_memory_usage for event in profile.events() or [])
    assert largest < 4 * rows * classes / 2


def test_chunks_are_larger_where_products_of_few_rows_are_slow() -> None:
    def chunks(device: str) -> int:
        rows, table = torch.empty(8192, 8, device=device), torch.empty(50304, 8, device=device)
        return len(cross_entropy.row_chunks(rows, table))

    assert chunks("cpu") == 200
    assert chunks("meta") == 4


def test_an_impossible_target_counts_much_and_has_its_gradient() -> None:
    hidden = torch.tensor([[500.0]]).requires_grad_()
    head = torch.tensor([[1.0], [-1.0]]).requires_grad_()
    loss = linear_cross_entropy(hidden, head, torch.tensor([1]), torch.ones(1))
    loss.backward()  # type: ignore[no-untyped-call]
    assert 87 < loss.item() < 88
    torch.testing.assert_close(head.grad, torch.tensor([[500.0], [-500.0]]))
    torch.testing.assert_close(hidden.grad, torch.tensor([[2.0]]))
