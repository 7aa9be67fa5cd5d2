"""Quantized folders: opened by transformers as we open them, and the other way round."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from modelwright.core.errors import InputError
from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import in_family
from modelwright.models.pretrained import load_model, save_model
from modelwright.models.quantization.base import quantize_base, quantized_layers
from modelwright.models.quantization.compressed_tensors_format import (
    read_layer,
    read_tensors,
    write_layer,
)
from modelwright.models.quantization.int4 import Int4Linear
from modelwright.models.quantization.int8 import Int8Linear
from modelwright.models.transformer import CausalLM, initialise

TOKENS = torch.arange(24).view(2, 12)
FORMS = ("int8", "int4", "nf4")


def model_of(config: TransformerConfig) -> CausalLM:
    model = CausalLM(config)
    initialise(model, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_transformers_opens_our_folder(
    form: Any, family: str, tiny_config: TransformerConfig, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("bitsandbytes" if form == "nf4" else "compressed_tensors")
    sizes = replace(tiny_config, tie_word_embeddings=family == "qwen3", attention_bias=True)
    model = model_of(in_family(family, sizes))
    quantize_base(model, form)
    save_model(model, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto").eval()
    with torch.no_grad():
        assert torch.allclose(theirs(TOKENS).logits, model(TOKENS), atol=1e-5)
    if form != "nf4":  # bitsandbytes keeps its bits; the logits have been compared
        for name, layer in quantized_layers(model):
            assert torch.equal(theirs.get_submodule(name).weight, layer.dequantize()), name


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_comes_back(form: Any, tiny_model: CausalLM, tmp_path: Path) -> None:
    quantize_base(tiny_model, form)
    save_model(tiny_model, tmp_path)
    again = load_model(tmp_path)
    assert [name for name, _ in quantized_layers(again)] == [
        name for name, _ in quantized_layers(tiny_model)
    ]
    for name, tensor in tiny_model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert torch.equal(again(TOKENS), tiny_model(TOKENS))


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "int4 in groups": ({"num_bits": 4, "strategy": "group", "group_size": 32}, "pack-quantized"),
    "int4 by row": ({"num_bits": 4, "strategy": "channel"}, "pack-quantized"),
    "int8 in groups": ({"num_bits": 8, "strategy": "group", "group_size": 16}, "pack-quantized"),
    "int8 by row": ({"num_bits": 8, "strategy": "channel"}, "pack-quantized"),
    "int8 by row, unpacked": ({"num_bits": 8, "strategy": "channel"}, "int-quantized"),
    "int8 by matrix": ({"num_bits": 8, "strategy": "tensor"}, "int-quantized"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_the_package_compressed_is_opened(
    case: str, tiny_model: CausalLM, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("compressed_tensors")
    save_model(tiny_model, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    folder = tmp_path / "theirs"
    compress_with_the_package(theirs, *CASES[case], folder)
    opened = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    ours = load_model(folder)
    assert len(quantized_layers(ours)) == 14
    with torch.no_grad():
        assert torch.allclose(ours(TOKENS), opened(TOKENS).logits, atol=1e-5)
    for name, layer in quantized_layers(ours):
        assert torch.equal(layer.dequantize(), opened.get_submodule(name).weight), name


def compress_with_the_package(
    model: nn.Module, weights: dict[str, Any], form: str, folder: Path
) -> None:
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
    from compressed_tensors.quantization.utils import calculate_qparams

    group = {"targets": ["Linear"], "weights": weights}
    config = QuantizationConfig(config_groups={"group_0": group}, ignore=["lm_head"])
    apply_quantization_config(model, config)
    for module in model.modules():
        scheme = getattr(module, "quantization_scheme", None)
        if scheme is None:
            continue
        scale = module.weight_scale
        parts = module.weight.detach().reshape(*scale.shape[:1], scale.numel() // len(scale), -1)
        found, _ = calculate_qparams(parts.amin(2), parts.amax(2), scheme.weights)
        scale.data.copy_(found.view(scale.shape))
        module.weight_zero_point.data.zero_()
    compressor = ModelCompressor.from_pretrained_model(model, form)
    compressor.compress_model(model)
    model.save_pretrained(folder)
    compressor.update_config(str(folder))


def config_with(**changes: Any) -> dict[str, Any]:
    weights = {"num_bits": 4, "type": "int", "symmetric": True} | changes.pop("weights", {})
    group = {"targets": ["Linear"], "weights": weights}
    return {"format": "pack-quantized", "config_groups": {"group_0": group}} | changes


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (config_with(format="nvfp4-pack-quantized"), "nvfp4"),
        (config_with(weights={"type": "float", "num_bits": 8}), "8-bit float"),
        (config_with(weights={"num_bits": 3}), "3-bit int"),
        (config_with(weights={"symmetric": False}), "zero points"),
        (config_with(config_groups={}), "config_groups"),
        (config_with(config_groups={"group_0": {}}), "a group without 'weights'"),
    ],
)
def test_other_ways_to_quantize_are_refused(
    config: dict[str, Any], said: str, tiny_model: CausalLM
) -> None:
    with pytest.raises(InputError, match=said) as error:
        read_tensors(tiny_model, {}, config, "here")
    assert error.value.where == "here"


def test_other_packages_are_refused(tiny_model: CausalLM, tmp_path: Path) -> None:
    save_model(tiny_model, tmp_path)
    path = tmp_path / "config.json"
    for quantization, said in (
        ({"quant_method": "gptq", "bits": 4}, "'gptq'"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "'bitsandbytes'"),
        ("int4", "None"),
    ):
        content = json.loads(path.read_text()) | {"quantization_config": quantization}
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=f"quantized with {said} are not known"):
            load_model(tmp_path)


def test_layers_in_several_ways_cannot_be_stored(tiny_model: CausalLM, tmp_path: Path) -> None:
    block = tiny_model.model.layers[0]
    block.mlp.up_proj = Int8Linear.of(block.mlp.up_proj)
    block.mlp.gate_proj = Int4Linear.of(block.mlp.gate_proj, 32)
    with pytest.raises(InputError, match="in several ways"):
        save_model(tiny_model, tmp_path)
    block.mlp.up_proj = Int4Linear.of(nn.Linear(64, 96, bias=False), 16)
    with pytest.raises(InputError, match="groups of several sizes"):
        save_model(tiny_model, tmp_path)


def test_a_family_of_other_layers_is_refused(
    tiny_config: TransformerConfig, tmp_path: Path
) -> None:
    model = model_of(in_family("gpt2", replace(tiny_config, num_key_value_heads=4)))
    quantize_base(model, "int8")
    with pytest.raises(InputError, match="'gpt2' cannot be stored"):
        save_model(model, tmp_path)


def a_layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(64, 16, bias=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weight_packed": torch.zeros(16, 7, dtype=torch.int32)}, "7 columns for 64 weights"),
        ({"weight_packed": torch.zeros(15, 8, dtype=torch.int32)}, "should be"),
        ({"weight_packed": torch.zeros(16, 8, dtype=torch.int64)}, "should be"),
        ({"weight_packed": None}, "'weight' should be"),
        ({"weight_scale": torch.ones(16, 3)}, "scales of shape"),
        ({"weight_scale": torch.ones(15, 2)}, "scales of shape"),
        ({"weight_scale": torch.ones(16, 0)}, "scales of shape"),
        ({"weight_scale": torch.ones(16, 2, dtype=torch.int32)}, "scales of type"),
        ({"weight_shape": torch.tensor([16, 63])}, "of shape"),
    ],
)
def test_damaged_tensors_are_named(changes: dict[str, Tensor | None], said: str) -> None:
    parts: dict[str, Tensor | None] = {**write_layer(Int4Linear.of(a_layer(), 32)), **changes}
    with pytest.raises(InputError, match=said) as error:
        read_layer(
            {key: one for key, one in parts.items() if one is not None}, a_layer(), {4}, "a.weight"
        )
    assert error.value.where == "a.weight"


@given(
    st.lists(st.integers(0, 70), max_size=3),
    st.lists(st.integers(0, 70), max_size=3),
    st.lists(st.integers(-3, 70), max_size=3),
    st.sampled_from([torch.int8, torch.int32, torch.float32, torch.float16]),
)
def test_tensors_of_any_shape_give_a_layer_or_an_error_of_ours(
    packed: list[int], scales: list[int], shape: list[int], dtype: torch.dtype
) -> None:
    parts = {
        "weight_packed": torch.zeros(packed, dtype=dtype),
        "weight_scale": torch.ones(scales),
        "weight_shape": torch.tensor(shape),
    }
    try:
        read = read_layer(parts, a_layer(), {4, 8}, "here")
    except InputError:
        return
    assert read.dequantize().shape == (16, 64)
