"""AWQ: the same model before rounding, and never worse than rounding alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from modelwright.compression.awq import best_scales, fold_scales
from modelwright.compression.calibration import InputStatistics, rewrite_blocks
from modelwright.compression.rewriters import AWQ, IntegerForm
from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import in_family
from modelwright.models.quantization.base import quantized_layers
from modelwright.models.quantization.integers import INT4, INT8, Grid, dequantize, quantize
from modelwright.models.transformer import Block, CausalLM, initialise


class FoldOnly:
    """AWQ without its rounding."""

    def __init__(self) -> None:
        self.changed = set[str]()

    def rewrite(self, block: Block, names: tuple[str, ...], seen: InputStatistics) -> None:
        before = block.get_parameter(f"{names[0]}.weight").clone()
        fold_scales(block, names, seen, INT4, 32)
        if not torch.equal(block.get_parameter(f"{names[0]}.weight"), before):
            self.changed.add(names[0])

    def finish(self, block: Block) -> None:
        return


def test_scaling_leaves_the_model_as_it_is(model: CausalLM, windows: Tensor) -> None:
    before = model(windows[:4]).detach()
    fold = FoldOnly()
    rewrite_blocks(model, windows, fold)
    assert len(fold.changed) >= 3, "real layers gain by it"
    assert torch.allclose(model(windows[:4]), before, atol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_other_families_and_biases_stay_the_same_too(
    family: str, tiny_config: TransformerConfig
) -> None:
    sizes = replace(tiny_config, attention_bias=True, feed_forward_bias=True)
    if family == "gpt2":
        sizes = replace(sizes, num_key_value_heads=4)
    model = CausalLM(in_family(family, sizes)).eval()
    initialise(model, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    tokens = torch.randint(0, 512, (8, 32), generator=generator)
    before = model(tokens).detach()
    fold = FoldOnly()
    rewrite_blocks(model, tokens, fold)
    assert fold.changed
    assert torch.allclose(model(tokens), before, atol=1e-4)


@pytest.mark.parametrize(("grid", "group"), [(INT4, 16), (INT8, None)])
def test_scales_lose_less_where_inputs_differ(grid: Grid, group: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(24, 64, generator=generator)
    size = torch.ones(64)
    size[::16] = 30.0  # a few features that are large, as in real models
    inputs = torch.randn(500, 64, generator=generator) * size
    seen = InputStatistics(
        (inputs.T @ inputs / 500).double(), inputs.abs().mean(0).double(), tokens=500
    )
    scales = best_scales([weight], seen, torch.arange(64), grid, group)
    groups = 64 // (group or 64)

    def error(scales: Tensor) -> float:
        scaled = weight.double() * scales
        rounded = dequantize(*quantize(scaled, grid, groups), torch.float64)
        return float(((inputs.double() @ (rounded / scales - weight).T) ** 2).sum())

    assert error(scales) < 0.7 * error(torch.ones(64).double())


def test_every_layer_is_rounded(model: CausalLM, windows: Tensor) -> None:
    before = model(windows[:2]).detach()
    rewrite_blocks(model, windows, AWQ(IntegerForm(None)))
    assert len(quantized_layers(model)) == 14
    distance = float((model(windows[:2]).detach() - before).norm() / before.norm())
    assert 0 < distance < 0.05
