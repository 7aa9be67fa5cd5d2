"""Steps that a device leaves out by itself: nothing changes, and later steps are the same."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from modelwright.training.optimizers import Optimizers, OptimizerSettings
from modelwright.training.optimizers.muon import Muon
from modelwright.training.readings import Reading

Make = Callable[[nn.Parameter], torch.optim.Optimizer]


def muon(parameter: nn.Parameter) -> torch.optim.Optimizer:
    return Muon([{"params": [parameter], "lr": 0.1, "weight_decay": 0.1}])


def adamw(parameter: nn.Parameter) -> torch.optim.Optimizer:
    return torch.optim.AdamW([parameter], lr=0.1, fused=True)


@pytest.mark.parametrize("make", [muon, adamw])
@pytest.mark.parametrize("bad", [1.0, float("nan"), float("inf")])
def test_a_step_that_is_not_to_be_taken(make: Make, bad: float) -> None:
    """Whatever the gradient, by the mark that torch's gradient scaler sets on optimizers."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(6, 4, generator=generator)
    gradients = [torch.randn(6, 4, generator=generator) for _ in range(3)]
    plain, marked = (nn.Parameter(first.clone()) for _ in range(2))
    without, with_marks = make(plain), make(marked)
    for gradient in gradients:
        plain.grad = gradient.clone()
        without.step()
    for gradient, is_bad in [(gradients[0], 0), (None, 1), (gradients[1], 0), (gradients[2], 0)]:
        marked.grad = torch.full_like(first, bad) if gradient is None else gradient.clone()
        with_marks.found_inf = torch.tensor(float(is_bad))  # type: ignore[attr-defined]
        before = marked.detach().clone()
        with_marks.step()
        assert torch.equal(before, marked) == bool(is_bad)
    assert torch.equal(plain, marked)


def test_the_norm_of_an_update() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6))
    optimizers = Optimizers(model, OptimizerSettings("adamw", 1e-2, 1e-2, 0.1))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert optimizers.step(0.0) is None
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    norm = optimizers.step(1.0, torch.tensor(True), is_measured=True)
    changes = [(now - then).flatten() for now, then in zip(model.parameters(), before, strict=True)]
    assert norm is not None
    assert norm.item() == pytest.approx(torch.cat(changes).norm().item(), rel=1e-5)
    assert norm.item() > 0


def test_readings_are_the_values() -> None:
    values = {"loss": torch.tensor(1.5), "norm": torch.tensor(float("inf"))}
    assert Reading(values).read() == {"loss": 1.5, "norm": float("inf")}
