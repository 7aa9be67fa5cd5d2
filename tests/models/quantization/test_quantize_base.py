"""Whole models with quantized blocks, in memory and under bitsandbytes' names."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import Tensor, nn

from modelwright.core.errors import InputError
from modelwright.models.adapters.attach import add_adapter
from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.quantization.base import dequantized, quantize_base
from modelwright.models.quantization.bitsandbytes_format import (
    STATE,
    read_layer,
    read_tensors,
    write_layer,
)
from modelwright.models.quantization.linear import QuantizedLinear
from modelwright.models.quantization.nf4_linear import NF4Linear
from modelwright.models.quantization.stored import write_quantized
from modelwright.models.transformer import CausalLM

TOKENS = torch.arange(24).view(2, 12)


@pytest.mark.parametrize("form", ["nf4", "int4", "int8"])
def test_only_linear_layers_of_blocks_are_rewritten(form: str, tiny_model: CausalLM) -> None:
    before = tiny_model(TOKENS).detach()
    size = sum(one.numel() * one.element_size() for one in tiny_model.state_dict().values())
    assert quantize_base(tiny_model, form) == 2 * 7
    assert type(tiny_model.lm_head) is nn.Linear
    assert all(
        isinstance(layer, QuantizedLinear) == name.endswith("_proj")
        for name, layer in tiny_model.model.layers.named_modules()
    )
    assert not any(layer.training for layer in tiny_model.modules())
    after = tiny_model(TOKENS).detach()
    distance = float((after - before).norm() / before.norm())
    assert 0.005 < distance < (0.05 if form == "int8" else 0.5)
    state = tiny_model.state_dict()
    assert sum(one.numel() * one.element_size() for one in state.values()) < 0.8 * size


@pytest.mark.parametrize("form", ["nf4", "int4", "int8"])
def test_a_quantized_model_is_that_of_its_rounded_weights(form: str, tiny_model: CausalLM) -> None:
    quantize_base(tiny_model, form)
    ordinary = copy.deepcopy(tiny_model)
    for block in ordinary.model.layers:
        for part in (block.self_attn, block.mlp):
            for name, layer in list(part.named_children()):
                if isinstance(layer, QuantizedLinear):
                    setattr(part, name, dequantized(layer))
    assert torch.equal(tiny_model(TOKENS), ordinary(TOKENS))


@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_reach_the_embedding(recompute: bool, tiny_model: CausalLM) -> None:
    quantize_base(tiny_model, "nf4")
    tiny_model.train().recompute_activations = recompute
    tiny_model(TOKENS).logsumexp(-1).sum().backward()
    gradient = tiny_model.model.embed_tokens.weight.grad
    assert gradient is not None
    assert float(gradient.abs().sum()) > 0


def test_a_model_with_adapters_is_refused(tiny_model: CausalLM) -> None:
    add_adapter(tiny_model, AdapterConfig(rank=2))
    with pytest.raises(InputError, match="base of an adapter"):
        quantize_base(tiny_model, "nf4")


def test_a_quantized_model_is_refused(tiny_model: CausalLM) -> None:
    quantize_base(tiny_model, "int8")
    with pytest.raises(InputError, match="quantized already"):
        quantize_base(tiny_model, "nf4")


@pytest.mark.parametrize("double", [False, True])
def test_a_model_comes_back_from_their_names(double: bool, tiny_model: CausalLM) -> None:
    empty = CausalLM(tiny_model.config).eval()
    quantize_base(tiny_model, "nf4", double)
    stored, config = write_quantized(tiny_model, tiny_model.state_dict())
    assert config is not None
    assert config["bnb_4bit_use_double_quant"] == double
    tensors = {name: one.clone() for name, one in stored.items()}
    name = "model.layers.0.mlp.up_proj.weight"
    assert tensors[name].dtype == torch.uint8
    assert tensors[name].shape == (96 * 64 // 2, 1)
    assert (f"{name}.nested_absmax" in tensors) == double
    left = read_tensors(empty, tensors)
    assert not any("_proj" in one for one in left)
    missing, unknown = empty.load_state_dict(left, strict=False)
    assert unknown == []
    assert not [one for one in missing if "_proj" not in one]
    assert torch.equal(empty(TOKENS), tiny_model(TOKENS))


def state_with(**changes: object) -> Tensor:
    state = json.loads(bytes(write_layer(a_layer())[f"weight.{STATE}"].tolist()))
    return torch.tensor(list(json.dumps(state | changes).encode()), dtype=torch.uint8)


def a_layer() -> NF4Linear:
    torch.manual_seed(0)
    return NF4Linear.of(nn.Linear(64, 16, bias=False))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weight": torch.zeros(7, dtype=torch.uint8)}, "'weight' should be 512"),
        ({"weight.absmax": torch.zeros(16)}, "'weight.absmax' should be 16"),
        ({"weight.quant_map": torch.zeros(16)}, "other numbers"),
        ({"weight.nested_quant_map": torch.zeros(256)}, "other numbers"),
        ({"weight.nested_absmax": torch.zeros(2)}, "nested_absmax"),
        ({f"weight.{STATE}": torch.tensor([123, 7], dtype=torch.uint8)}, "damaged"),
        (
            {f"weight.{STATE}": state_with(blocksize=128)},
            "'blocksize' of a quantized weight is 128",
        ),
        ({f"weight.{STATE}": state_with(quant_type="fp4")}, "fp4"),
        ({f"weight.{STATE}": state_with(shape=[4])}, "damaged"),
        ({f"weight.{STATE}": state_with(shape=[-1, 4])}, "damaged"),
        ({f"weight.{STATE}": state_with(nested_offset="x")}, "damaged"),
        ({f"weight.{STATE}": None}, "not in bitsandbytes' NF4"),
    ],
)
def test_damaged_tensors_are_named(changes: dict[str, Tensor | None], said: str) -> None:
    parts = write_layer(a_layer()) | changes
    with pytest.raises(InputError, match=said) as error:
        read_layer({key: one for key, one in parts.items() if one is not None}, None, "a.weight")
    assert error.value.where == "a.weight"


def test_a_weight_of_another_shape_is_refused(tiny_model: CausalLM) -> None:
    tensors = {f"lm_head.{key}": one for key, one in write_layer(a_layer()).items()}
    with pytest.raises(InputError, match="does not fit"):
        read_tensors(tiny_model, tensors)


@pytest.mark.parametrize("double", [False, True])
def test_tensors_are_those_of_bitsandbytes(double: bool) -> None:
    modules = pytest.importorskip("bitsandbytes").nn
    torch.manual_seed(0)
    plain = nn.Linear(96, 64)
    theirs = modules.Linear4bit(96, 64, quant_type="nf4", compress_statistics=double)
    theirs.load_state_dict(plain.state_dict())
    theirs = theirs.to("cpu")
    expected = theirs.state_dict()
    bias = expected.pop("bias")
    found = write_layer(NF4Linear.of(plain, double))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    again = read_layer(expected, nn.Parameter(bias), "here")
    assert torch.equal(again.dequantize(), NF4Linear.of(plain, double).dequantize())
