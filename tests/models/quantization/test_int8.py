"""Int8 with a scale a row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from modelwright.models.quantization.int8 import Int8Linear
from modelwright.models.quantization.integers import INT8, dequantize, quantize


@given(st.integers(1, 9), st.integers(1, 30), st.integers(0, 1000))
def test_no_weight_moves_by_more_than_half_a_step(rows: int, columns: int, seed: int) -> None:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    values, scales = quantize(weight, INT8)
    assert values.dtype == torch.int8
    assert torch.allclose(scales, weight.abs().amax(1, keepdim=True) / 127)
    assert bool((values.abs().amax(1) == 127).all())
    error = (values * scales - weight).abs()
    assert bool((error <= scales * 0.5001).all())


def test_rows_of_zeros_stay_zeros() -> None:
    weight = torch.randn(4, 8)
    weight[1] = 0
    values, scales = quantize(weight, INT8)
    assert not values[1].any()
    assert bool(torch.isfinite(values * scales).all())


def test_what_is_not_finite_shows() -> None:
    weight = torch.tensor([[1.0, float("inf")], [float("nan"), 1.0], [1.0, 2.0]])
    rounded = dequantize(*quantize(weight, INT8), torch.float32)
    assert rounded.isnan().all(1).tolist() == [True, True, False]


@pytest.mark.parametrize("bias", [False, True])
def test_layer_is_that_of_its_rounded_weight(bias: bool) -> None:
    torch.manual_seed(0)
    layer = Int8Linear.of(nn.Linear(40, 24, bias=bias))
    weight = layer.dequantize()
    x, slopes = torch.randn(3, 40, requires_grad=True), torch.randn(3, 24)
    out = layer(x)
    out.backward(slopes)
    expected = F.linear(x.detach(), weight)
    assert torch.equal(out, expected if layer.bias is None else expected + layer.bias)
    assert torch.allclose(x.grad, slopes @ weight, atol=1e-6)


def test_state_and_conversions_keep_the_weight() -> None:
    layer = Int8Linear.of(nn.Linear(40, 24))
    weight = layer.dequantize()
    other = Int8Linear.of(nn.Linear(40, 24))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.dequantize(), weight)
    assert torch.equal(layer.half().dequantize(), weight)
    assert layer.scales.dtype == torch.float32


def test_rounding_is_that_of_bitsandbytes() -> None:
    functional = pytest.importorskip("bitsandbytes").functional
    weight = torch.randn(64, 96, generator=torch.Generator().manual_seed(0)).half()
    values, scales = quantize(weight, INT8)
    theirs, largest, _ = functional.int8_vectorwise_quant(weight)
    assert torch.allclose(scales[:, 0] * 127, largest, rtol=1e-6)
    # Halves of a step may go either way.
    assert int((values.int() - theirs.int()).abs().max()) <= 1
    assert float((values != theirs).float().mean()) < 1e-3
