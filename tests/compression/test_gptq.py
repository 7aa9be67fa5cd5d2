"""GPTQ against a plain implementation, and on what real layers get."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from modelwright.compression.calibration import InputStatistics, rewrite_blocks
from modelwright.compression.gptq import DAMPING, gptq
from modelwright.compression.rewriters import GPTQ, IntegerForm
from modelwright.models.quantization.base import quantized_layers
from modelwright.models.quantization.int4 import Int4Linear
from modelwright.models.quantization.integers import INT4, INT8, Grid, dequantize, quantize
from modelwright.models.transformer import Block, CausalLM


def plain(weight: Tensor, gram: Tensor, grid: Grid, groups: int) -> Tensor:
    """The paper's algorithm without blocks and without a factor: after each column the inverse of
    what is left is taken anew (optimal brain surgeon, equation 2 and 3); float64."""
    rows, width = weight.shape
    size = width // groups
    damping = DAMPING * gram.diagonal().mean() * torch.eye(width, dtype=torch.float64)
    left, out = weight.double().clone(), torch.zeros(rows, width, dtype=torch.float64)
    scales = grid.scales(weight.float(), 1)[:, 0].double()
    for column in range(width):
        if groups > 1 and column % size == 0:
            part = left[:, column : column + size].float()
            scales = (part.abs().amax(1) / grid.steps).double()
        inverse = torch.linalg.inv((gram + damping)[column:, column:])
        steps = (left[:, column].float() / scales.float()).round()
        out[:, column] = steps.clamp(grid.lowest, grid.highest).double() * scales
        error = (left[:, column] - out[:, column]) / inverse[0, 0]
        left[:, column:] -= error[:, None] * inverse[0]
    return out


NO_TIES = Grid(INT4.lowest, INT4.highest, 7.4)
"""The largest of a group is no half of a step, which the last bit of its scale would decide."""


@pytest.mark.parametrize(("grid", "groups"), [(NO_TIES, 1), (NO_TIES, 5), (NO_TIES, 20), (INT8, 1)])
def test_it_is_the_papers_algorithm(grid: Grid, groups: int) -> None:
    generator = torch.Generator().manual_seed(0)
    width = 320  # several blocks, the last of them not whole
    weight = torch.randn(12, width, generator=generator)
    mixed = torch.randn(width, width, generator=generator).double()
    inputs = torch.randn(1000, width, generator=generator).double() @ mixed
    gram = inputs.T @ inputs / len(inputs)
    integers, scales = gptq(weight, gram, grid, groups)
    assert torch.allclose(
        dequantize(integers, scales, torch.float64), plain(weight, gram, grid, groups), atol=1e-5
    )


def test_inputs_that_are_always_zero_are_rounded_to_the_nearest() -> None:
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    integers, scales = gptq(weight, torch.zeros(64, 64, dtype=torch.float64), INT4, 2)
    expected, expected_scales = quantize(weight, INT4, 2)
    assert torch.equal(integers, expected)
    assert torch.equal(scales, expected_scales)


class Comparison:
    """Rounds as GPTQ does, and keeps what both ways to round cost."""

    def __init__(self, form: IntegerForm):
        self.gptq, self.form = GPTQ(form), form
        self.errors = dict[str, tuple[float, float]]()
        self.block = 0

    def rewrite(self, block: Block, names: tuple[str, ...], seen: InputStatistics) -> None:
        before = {name: block.get_submodule(name) for name in names}
        self.gptq.rewrite(block, names, seen)
        for name, layer in before.items():
            assert isinstance(layer, nn.Linear)
            weight = layer.weight.detach()
            nearest = dequantize(
                *quantize(weight, self.form.grid, self.form.groups(layer)), torch.float32
            )
            found = block.get_submodule(name).dequantize()
            self.errors[f"{self.block}.{name}"] = (
                seen.output_error(found - weight),
                seen.output_error(nearest - weight),
            )

    def finish(self, block: Block) -> None:
        self.block += 1


@pytest.mark.parametrize("group", [32, None])
def test_real_layers_lose_less_than_by_rounding_to_the_nearest(
    group: int | None, model: CausalLM, windows: Tensor
) -> None:
    comparison = Comparison(IntegerForm(group))
    rewrite_blocks(model, windows, comparison)
    assert len(comparison.errors) == 14
    for name, (found, nearest) in comparison.errors.items():
        assert found < nearest, name
    assert sum(one for one, _ in comparison.errors.values()) < 0.8 * sum(
        other for _, other in comparison.errors.values()
    )


def test_every_layer_of_the_blocks_is_rounded(model: CausalLM, windows: Tensor) -> None:
    before = model(windows[:2]).detach()
    rewrite_blocks(model, windows, GPTQ(IntegerForm(32)))
    layers = quantized_layers(model)
    assert len(layers) == 14
    assert all(isinstance(layer, Int4Linear) for _, layer in layers)
    assert not any(module.training for module in model.modules())
    distance = float((model(windows[:2]).detach() - before).norm() / before.norm())
    assert 0 < distance < 0.3
