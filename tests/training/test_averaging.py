"""Averaged weights: equal to their definition, applied for a while, resumed to the bit."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modelwright.core.errors import InputError
from modelwright.training.averaging import AveragingSettings, WeightAverage

EXPONENTIAL = AveragingSettings("exponential", 0.2)
UNIFORM = AveragingSettings("uniform", 0.4)
BOTH = pytest.mark.parametrize("chosen", [EXPONENTIAL, UNIFORM], ids=lambda s: s.name)


def model() -> nn.Module:
    made = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    for number, parameter in enumerate(made.parameters()):
        nn.init.constant_(parameter, float(number))
    return made


def move(module: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


def weights(module: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def averaged(module: nn.Module, average: WeightAverage) -> list[torch.Tensor]:
    with average.applied():
        return weights(module)


@BOTH
@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=12, unique=True))
def test_equals_the_weighted_mean(chosen: AveragingSettings, cuts: list[float]) -> None:
    ends = [*sorted(cuts), 1.0]
    starts = [0.0, *ends[:-1]]
    module = model()
    average = WeightAverage(module, chosen)
    total, sums = 0.0, [torch.zeros_like(w, dtype=torch.float64) for w in weights(module)]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        move(module, number)
        average.update(start, end)
        if chosen.name == "uniform":  # the part of the step that lies in the last part of the run
            counts = max(0.0, end - max(start, 1 - chosen.part))
        else:  # the integral of exp(-age / part) over the step
            counts = chosen.part * (
                math.exp((end - 1) / chosen.part) - math.exp((start - 1) / chosen.part)
            )
        total += counts
        sums = [s + counts * w.double() for s, w in zip(sums, weights(module), strict=True)]
    for found, wanted in zip(averaged(module, average), sums, strict=True):
        assert torch.allclose(found.double(), wanted / total, atol=1e-4)


@BOTH
def test_own_weights_come_back(chosen: AveragingSettings) -> None:
    module = model()
    average = WeightAverage(module, chosen)
    for number in range(10):
        move(module, number)
        average.update(number / 10, (number + 1) / 10)
    own = weights(module)
    inside = list[torch.Tensor]()

    def evaluate() -> None:
        with average.applied():
            inside.extend(weights(module))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        evaluate()
    assert not any(torch.equal(a, b) for a, b in zip(inside, own, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(weights(module), own, strict=True))


@BOTH
def test_without_an_average_the_own_weights_count(chosen: AveragingSettings) -> None:
    module = model()
    average = WeightAverage(module, chosen)
    average.update(0.0, 0.0)  # a first step of unknown length
    for found, own in zip(averaged(module, average), weights(module), strict=True):
        assert torch.equal(found, own)


@BOTH
@pytest.mark.parametrize("cut", [1, 5, 8])
def test_resume_is_bit_identical(chosen: AveragingSettings, cut: int) -> None:
    def run(module: nn.Module, average: WeightAverage, first: int, last: int) -> None:
        for number in range(first, last):
            move(module, number)
            average.update(number / 10, (number + 1) / 10)

    whole, part, rest = model(), model(), model()
    of_whole, of_part, of_rest = (WeightAverage(m, chosen) for m in (whole, part, rest))
    run(whole, of_whole, 0, 10)
    run(part, of_part, 0, cut)
    rest.load_state_dict(part.state_dict())
    of_rest.load_state_tensors({name: t.clone() for name, t in of_part.state_tensors().items()})
    run(rest, of_rest, cut, 10)
    for wanted, found in zip(averaged(whole, of_whole), averaged(rest, of_rest), strict=True):
        assert torch.equal(wanted, found)


def test_low_precision_weights_are_averaged_in_float32() -> None:
    module = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    average = WeightAverage(module, AveragingSettings("uniform", 1.0))
    for number, value in enumerate((256.0, 258.0, 256.0, 258.0)):
        nn.init.constant_(module.weight, value)
        average.update(number / 4, (number + 1) / 4)
    assert float(average.state_tensors()["average/weight"]) == pytest.approx(257.0, abs=1e-3)
    with average.applied():
        assert module.weight.dtype == torch.bfloat16


def test_state_of_another_model_is_refused() -> None:
    average = WeightAverage(model(), UNIFORM)
    other = WeightAverage(nn.Linear(2, 2), UNIFORM).state_tensors()
    with pytest.raises(InputError, match="not those of this model"):
        average.load_state_tensors(other)


@pytest.mark.parametrize("part", [0.0, -1.0, 1.5])
def test_parts_outside_the_run_are_refused(part: float) -> None:
    with pytest.raises(InputError):
        AveragingSettings("exponential", part)
