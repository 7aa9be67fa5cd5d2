"""One layer against the formulas of the papers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from adapted_models import KINDS, add_noise, distance
from torch import Tensor, nn
from torch.nn import functional as F

from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.adapters.lora_linear import LoraLinear
from modelwright.models.quantization.nf4_linear import NF4Linear


def make_layer(config: AdapterConfig, bias: bool = True, quantized: bool = False) -> LoraLinear:
    """A layer with one adapter, as it is before training."""
    torch.manual_seed(0)
    base: nn.Linear | NF4Linear = nn.Linear(32, 24, bias=bias)
    base.requires_grad_(False)
    if quantized:
        base = NF4Linear.of(base)
    layer = LoraLinear(base)
    layer.add("default", config, "q_proj", torch.Generator().manual_seed(0))
    layer.active = "default"
    for parameter in layer.trained("default"):
        parameter.requires_grad_()
    return layer


def trained_layer(config: AdapterConfig, bias: bool = True, quantized: bool = False) -> LoraLinear:
    layer = make_layer(config, bias, quantized)
    add_noise(dict(layer.named_parameters()), seed=1, std=0.1)
    return layer


def weight_by_formula(layer: LoraLinear, config: AdapterConfig) -> Tensor:
    """The adapted weight, in float64."""
    base = layer.base_layer
    weight = (base.dequantize() if isinstance(base, NF4Linear) else base.weight).double()
    scaling = config.alpha / (config.rank**0.5 if config.rs_lora else config.rank)
    up, down = layer.lora_B["default"].weight.double(), layer.lora_A["default"].weight.double()
    if config.initialisation == "pissa":
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        values[: config.rank] = 0
        weight = left @ values.diag() @ right
    weight = weight + scaling * up @ down
    if config.dora:
        norms = weight.norm(dim=1, keepdim=True).detach()
        weight = layer.lora_magnitude_vector["default"].double()[:, None] * weight / norms
    return weight


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_output_and_gradients_follow_the_formula(kind: str, bias: bool, quantized: bool) -> None:
    layer, x = trained_layer(KINDS[kind], bias, quantized), torch.randn(5, 32)
    slopes = torch.randn(5, 24)
    out = layer(x)
    weight = weight_by_formula(layer, KINDS[kind])
    bias_of_base = layer.base_layer.bias
    expected = F.linear(x.double(), weight, None if bias_of_base is None else bias_of_base.double())
    tolerance = 1e-5 if "pissa" in kind else 2e-6  # float32's decomposition is no better
    assert distance(out.double(), expected) < tolerance
    assert distance(layer.merged_weight("default").double(), weight) < tolerance
    parameters = layer.trained("default")
    found = torch.autograd.grad(out, parameters, slopes)
    wanted = torch.autograd.grad(expected, parameters, slopes.double())
    for one, other in zip(found, wanted, strict=True):
        assert distance(one, other) < tolerance


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_adapter_changes_nothing(kind: str, quantized: bool) -> None:
    layer, x = make_layer(KINDS[kind], quantized=quantized), torch.randn(5, 32)
    assert distance(layer(x), layer.base_layer(x)) < 1e-6
    layer.active = None
    assert torch.equal(layer(x), layer.base_layer(x))


def test_the_random_start_has_its_bounds_and_draws_from_its_own_generator() -> None:
    before = torch.random.get_rng_state()
    layer = LoraLinear(nn.Linear(4096, 8, device="meta").to_empty(device="cpu"))
    layer.add("default", AdapterConfig(rank=16), "q_proj", torch.Generator().manual_seed(0))
    down = layer.lora_A["default"].weight
    assert torch.equal(torch.random.get_rng_state(), before)
    assert 0.0156 < float(down.abs().max()) <= 1 / 64
    assert float(down.var()) == pytest.approx(1 / 4096 / 3, rel=0.05)
    assert not layer.lora_B["default"].weight.any()


@pytest.mark.parametrize("kind", ["lora", "dora", "pissa"])
def test_dropout_is_on_in_training_only_and_right_on_average(kind: str) -> None:
    layer, x = trained_layer(replace(KINDS[kind], dropout=0.5)), torch.randn(1, 32)
    expected = F.linear(x, layer.merged_weight("default"), layer.base_layer.bias)
    assert distance(layer.eval()(x), expected) < 1e-5
    layer.train()
    outputs = layer(x.expand(20_000, -1)).detach()
    assert float(outputs.std(0).min()) > 0.01
    assert distance(outputs.mean(0, keepdim=True), expected) < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_number_formats(kind: str) -> None:
    """Adapters are float32 on a narrow base; the sum gets the base's type."""
    torch.manual_seed(0)
    base, x = nn.Linear(32, 24).bfloat16(), torch.randn(5, 32).bfloat16()
    layer = LoraLinear(base)
    layer.add("default", KINDS[kind], "q_proj", torch.Generator().manual_seed(0))
    layer.active = "default"
    assert {one.dtype for one in layer.trained("default")} == {torch.float32}
    assert layer(x).dtype == torch.bfloat16
    assert distance(layer(x), base(x)) < 0.01
    narrow = trained_layer(KINDS[kind])
    expected = narrow(x.float())
    with torch.autocast("cpu", torch.bfloat16):
        out = narrow(x.float())
    assert out.dtype == torch.bfloat16
    assert distance(out, expected) < 0.02
