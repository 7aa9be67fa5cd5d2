"""NF4: its rounding, its bytes against bitsandbytes, its layer forward and backward."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from modelwright.models.quantization import nf4
from modelwright.models.quantization.double_quantization import (
    dequantize_scales,
    dynamic_levels,
    quantize_scales,
)
from modelwright.models.quantization.nf4_linear import NF4Linear

PAIRS = nf4.byte_pairs()


def normal(*shape: int, seed: int = 0, std: float = 0.02) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * std


def linear(rows: int, columns: int, bias: bool = True) -> nn.Linear:
    layer = nn.Linear(columns, rows, bias=bias)
    with torch.no_grad():
        layer.weight.copy_(normal(rows, columns, std=0.1))
    return layer


def relative_error(weight: Tensor, layer: NF4Linear) -> float:
    return float(
        (layer.dequantize() - weight).square().mean().sqrt() / weight.square().mean().sqrt()
    )


@pytest.mark.parametrize(("double", "golden"), [(False, 0.09198), (True, 0.09201)])
def test_error_on_normal_weights(double: bool, golden: float) -> None:
    layer = nn.Linear(1024, 1024, bias=False)
    with torch.no_grad():
        layer.weight.copy_(normal(1024, 1024))
    assert relative_error(layer.weight.detach(), NF4Linear.of(layer, double)) == pytest.approx(
        golden, rel=2e-3
    )


@given(
    st.integers(1, 12),
    st.integers(1, 40),
    st.integers(0, 1000),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
def test_each_weight_becomes_the_nearest_level(
    rows: int, columns: int, seed: int, dtype: torch.dtype
) -> None:
    weight = normal(rows, columns, seed=seed).to(dtype)
    packed, absmax = nf4.quantize(weight)
    assert packed.numel() == -(-rows * columns // 2)
    kept = nf4.dequantize(packed, absmax, PAIRS, weight.shape, torch.float32).flatten()
    for start in range(0, rows * columns, nf4.BLOCK):
        block = weight.flatten()[start : start + nf4.BLOCK].float()
        levels = torch.tensor(nf4.LEVELS) * block.abs().max()
        assert absmax[start // nf4.BLOCK] == block.abs().max()
        distance = (block[:, None] - levels).abs().min(1).values
        found = (block - kept[start : start + nf4.BLOCK]).abs()
        assert torch.allclose(found, distance, atol=1e-7 * float(block.abs().max()))


def test_the_first_weight_lies_in_the_high_half_of_a_byte() -> None:
    packed, absmax = nf4.quantize(torch.tensor([1.0, -1.0, 0.0, 1.0]))
    assert packed.tolist() == [0xF0, 0x7F]
    assert absmax.tolist() == [1.0]


@pytest.mark.parametrize("double", [False, True])
def test_blocks_of_zeros_stay_zeros(double: bool) -> None:
    layer = linear(8, 128, bias=False)
    with torch.no_grad():
        layer.weight[2:5] = 0
    kept = NF4Linear.of(layer, double).dequantize()
    assert torch.equal(kept[2:5], torch.zeros(3, 128))
    with torch.no_grad():
        layer.weight.zero_()
    assert torch.equal(NF4Linear.of(layer, double).dequantize(), torch.zeros(8, 128))


@pytest.mark.parametrize("wrong", [torch.inf, torch.nan])
@pytest.mark.parametrize("double", [False, True])
def test_what_is_not_finite_shows(double: bool, wrong: float) -> None:
    layer = linear(8, 64, bias=False)
    with torch.no_grad():
        layer.weight[3, 5] = wrong
    assert not NF4Linear.of(layer, double).dequantize()[3].isfinite().any()


def test_memory_can_be_counted_on_tensors_without_numbers() -> None:
    with FakeTensorMode():
        layer = NF4Linear.of(linear(24, 128))
        out = layer(torch.zeros(2, 128, requires_grad=True))
        out.sum().backward()
    assert sum(one.numel() * one.element_size() for one in layer.state_dict().values()) < 2000
    assert not isinstance(NF4Linear.of(linear(24, 128)).dequantize(), FakeTensor)


def test_levels_of_scales_are_dense_where_they_are_small() -> None:
    levels = dynamic_levels()
    assert levels.numel() == 256
    assert float(levels[-1]) == 1.0
    assert float(levels[127]) == 0.0
    assert bool((levels.diff() > 0).all())


@given(st.integers(1, 700), st.integers(0, 1000))
def test_scales_come_back_nearly(count: int, seed: int) -> None:
    absmax = normal(count, seed=seed, std=1).abs() + 0.5
    kept = dequantize_scales(*quantize_scales(absmax), dynamic_levels())
    spread = (absmax - absmax.mean()).abs().max()
    assert float((kept - absmax).abs().max()) <= 0.0079 * float(spread) + 1e-6


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("double", [False, True])
def test_layer_is_that_of_its_rounded_weight(bias: bool, double: bool) -> None:
    layer = NF4Linear.of(linear(24, 40, bias), double)
    weight = layer.dequantize()
    x, slopes = normal(3, 5, 40, std=1).requires_grad_(), normal(3, 5, 24, seed=1, std=1)
    out = layer(x)
    out.backward(slopes)
    expected = torch.nn.functional.linear(x.detach(), weight)
    if layer.bias is not None:
        expected = expected + layer.bias
        assert torch.allclose(layer.bias.grad, slopes.sum((0, 1)), atol=1e-5)
    assert torch.equal(out, expected)
    assert torch.allclose(x.grad, slopes @ weight, atol=1e-6)


def test_autocast_decides_the_type_of_the_product() -> None:
    layer = NF4Linear.of(linear(24, 40))
    x = normal(5, 40, std=1).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    out.sum().backward()
    weight = layer.dequantize(torch.bfloat16)
    assert out.dtype == torch.bfloat16
    assert torch.equal(
        out, torch.nn.functional.linear(x.bfloat16(), weight) + layer.bias.bfloat16()
    )
    assert x.grad.dtype == torch.float32


def test_between_the_passes_only_the_few_bits_are_kept() -> None:
    layer = NF4Linear.of(linear(64, 64, bias=False))
    kept = list[Tensor]()
    with torch.autograd.graph.saved_tensors_hooks(
        lambda one: kept.append(one) or one, lambda one: one
    ):
        layer(normal(2, 64).requires_grad_())
    assert all(tensor.numel() < 64 * 64 for tensor in kept)


def test_state_and_conversions_keep_the_weight() -> None:
    layer = NF4Linear.of(linear(24, 128))
    weight = layer.dequantize()
    assert set(layer.state_dict()) == {"packed", "absmax", "nested_absmax", "offset", "bias"}
    other = NF4Linear.of(nn.Linear(128, 24))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.dequantize(), weight)
    layer.to(torch.bfloat16)
    assert layer.bias.dtype == torch.bfloat16
    assert torch.equal(layer.dequantize(), weight)
    assert {buffer.device.type for buffer in layer.to("meta").buffers()} == {"meta"}


class TestAgainstBitsandbytes:
    """Bytes of version 0.50.2 on a CPU."""

    @pytest.fixture(autouse=True)
    def functional(self) -> None:
        pytest.importorskip("bitsandbytes")

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    @pytest.mark.parametrize("shape", [(1024, 1024), (48, 80), (100, 36), (3, 64)])
    @pytest.mark.parametrize("std", [0.02, 3.0])
    def test_bytes(self, shape: tuple[int, int], dtype: torch.dtype, std: float) -> None:
        from bitsandbytes import functional

        weight = normal(*shape, seed=shape[0], std=std).to(dtype)
        theirs, state = functional.quantize_4bit(
            weight, quant_type="nf4", compress_statistics=True, blocksize=64
        )
        packed, absmax = nf4.quantize(weight)
        codes, nested, offset = quantize_scales(absmax)
        assert torch.equal(packed, theirs.view(-1))
        assert torch.equal(codes, state.absmax.view(-1))
        assert torch.equal(nested, state.state2.absmax)
        assert torch.equal(offset, state.offset)
        assert torch.equal(dynamic_levels(), state.state2.code)
        assert torch.equal(torch.tensor(nf4.LEVELS), state.code)
        scales = dequantize_scales(codes, nested, offset, dynamic_levels())
        for target in (torch.float32, torch.bfloat16, torch.float16):
            state.dtype = target
            expected = functional.dequantize_4bit(theirs, state)
            assert torch.equal(
                nf4.dequantize(packed, scales, PAIRS, weight.shape, target), expected
            )

    def test_scales_alone(self) -> None:
        from bitsandbytes import functional

        weight = normal(256, 512)
        theirs, state = functional.quantize_4bit(weight, quant_type="nf4", blocksize=64)
        packed, absmax = nf4.quantize(weight)
        assert torch.equal(packed, theirs.view(-1))
        assert torch.equal(absmax, state.absmax)

    @pytest.mark.parametrize("seed", range(20))
    def test_scales_of_scales_of_many_spreads(self, seed: int) -> None:
        from bitsandbytes import functional

        absmax = normal(5_000, seed=seed, std=10.0 ** (seed % 7 - 5)).abs()
        codes, nested, _ = quantize_scales(absmax)
        theirs, state = functional.quantize_blockwise(absmax - absmax.mean(), blocksize=256)
        assert torch.equal(codes, theirs)
        assert torch.equal(nested, state.absmax)

    def test_layer(self) -> None:
        from bitsandbytes.nn import Linear4bit

        plain = linear(64, 96)
        theirs = Linear4bit(96, 64, quant_type="nf4", compute_dtype=torch.float32)
        theirs.load_state_dict(plain.state_dict())
        theirs = theirs.to("cpu")
        ours = NF4Linear.of(plain)
        inputs = [normal(4, 96, std=1).requires_grad_() for _ in range(2)]
        slopes = normal(4, 64, seed=1, std=1)
        outputs = [layer(x) for layer, x in zip((ours, theirs), inputs, strict=True)]
        for out in outputs:
            out.backward(slopes)
        assert torch.allclose(outputs[0], outputs[1], atol=1e-6)
        assert torch.allclose(inputs[0].grad, inputs[1].grad, atol=1e-6)

    def test_their_kernel_gives_the_same(self) -> None:
        """Used on CUDA; here its operator runs on the CPU."""
        weight = normal(64, 96)
        packed, absmax = nf4.quantize(weight)
        kernel = nf4.bitsandbytes_kernel()
        assert kernel is not None
        for dtype in (torch.float32, torch.bfloat16):
            expected = nf4.dequantize(packed, absmax, PAIRS, weight.shape, dtype)
            assert torch.equal(kernel(packed, absmax, weight.shape, dtype), expected)
