"""Int4 with a scale a group, two weights a byte."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from modelwright.core.errors import InputError
from modelwright.models.quantization.int4 import Int4Linear, group_for, pack, unpack
from modelwright.models.quantization.integers import INT4, dequantize, quantize


def weight_of(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@given(st.lists(st.lists(st.integers(-8, 7), min_size=5, max_size=5), min_size=1, max_size=6))
def test_packing_loses_nothing(rows: list[list[int]]) -> None:
    for width in (4, 5):
        integers = torch.tensor(rows, dtype=torch.int8)[:, :width]
        packed = pack(integers)
        assert packed.shape == (len(rows), 3 if width == 5 else 2)
        assert torch.equal(unpack(packed, width), integers)


def test_the_first_of_two_is_in_the_low_bits() -> None:
    packed = pack(torch.tensor([[-8, 7, 0, 1]], dtype=torch.int8))
    assert packed.tolist() == [[0xF0, 0x98]]


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 9), st.integers(0, 1000))
def test_no_weight_moves_by_more_than_half_a_step(
    rows: int, groups: int, size: int, seed: int
) -> None:
    weight = weight_of(rows, groups * size, seed)
    integers, scales = quantize(weight, INT4, groups)
    assert scales.shape == (rows, groups)
    assert int(integers.min()) >= -8
    assert int(integers.max()) <= 7
    error = (dequantize(integers, scales, torch.float32) - weight).abs()
    assert bool((error.view(rows, groups, size) <= scales[:, :, None] * 0.5001).all())


def test_groups_of_zeros_and_of_what_is_not_finite() -> None:
    weight = weight_of(2, 64)
    weight[0, :32], weight[1, 3] = 0, float("nan")
    rounded = dequantize(*quantize(weight, INT4, 2), torch.float32)
    assert not rounded[0, :32].any()
    assert bool(rounded[1, :32].isnan().all())
    assert bool(rounded[1, 32:].isfinite().all())


def test_rounding_is_that_of_compressed_tensors() -> None:
    quantization = pytest.importorskip("compressed_tensors.quantization")
    from compressed_tensors.quantization.utils import calculate_qparams

    weight = weight_of(16, 96)
    args = quantization.QuantizationArgs(num_bits=4, strategy="group", group_size=32)
    parts = weight.view(16, 3, 32)
    theirs, zeros = calculate_qparams(parts.amin(2), parts.amax(2), args)
    integers, scales = quantize(weight, INT4, 3)
    assert torch.equal(scales, theirs)
    expected = quantization.quantize(weight, theirs, zeros, args, dtype=torch.int8)
    assert torch.equal(integers, expected)


@pytest.mark.parametrize("bias", [False, True])
def test_layer_is_that_of_its_rounded_weight(bias: bool) -> None:
    torch.manual_seed(0)
    layer = Int4Linear.of(nn.Linear(64, 24, bias=bias), 32)
    weight = layer.dequantize()
    x, slopes = torch.randn(3, 64, requires_grad=True), torch.randn(3, 24)
    out = layer(x)
    out.backward(slopes)
    expected = F.linear(x.detach(), weight)
    assert torch.equal(out, expected if layer.bias is None else expected + layer.bias)
    assert torch.allclose(x.grad, slopes @ weight, atol=1e-6)


def test_what_kernels_read_lies_in_plain_tensors() -> None:
    layer = Int4Linear.of(nn.Linear(64, 24), 32)
    assert (layer.packed.dtype, layer.packed.shape) == (torch.uint8, (24, 32))
    assert (layer.scales.dtype, layer.scales.shape) == (torch.float32, (24, 2))
    assert layer.packed.is_contiguous()
    assert layer.scales.is_contiguous()
    assert layer.half().scales.dtype == torch.float32


def test_groups_divide_all_widths() -> None:
    assert group_for([256, 768]) == 128
    assert group_for([256, 192]) == 64
    assert group_for([96]) == 32
    assert group_for([256], 32) == 32
    with pytest.raises(InputError, match="128 or 64 or 32 weights do not divide layers of 48"):
        group_for([48, 256])
    with pytest.raises(InputError, match="groups of 128 weights"):
        group_for([64], 128)
