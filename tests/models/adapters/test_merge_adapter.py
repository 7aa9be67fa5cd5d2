"""Merged models are ordinary, and the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from adapted_models import KINDS, TOKENS, distance, make_model, train
from torch import nn

from modelwright.core.errors import InputError, ModelwrightError
from modelwright.models.adapters.attach import add_adapter, without_adapters
from modelwright.models.adapters.lora_linear import LoraLinear
from modelwright.models.adapters.merge import merge_adapter
from modelwright.models.pretrained import load_model, save_model
from modelwright.models.quantization.base import quantize_base


@pytest.mark.parametrize("form", [None, "nf4", "int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_merged_is_unmerged(kind: str, form: str | None, tmp_path: Path) -> None:
    model = make_model(attention_bias=True)
    names = list(model.state_dict())
    if form:
        quantize_base(model, form)
    config = replace(KINDS[kind], target_modules=("q_proj", "up_proj", "down_proj"))
    add_adapter(model, config)
    train(model)
    before = model(TOKENS)
    reported = merge_adapter(model, TOKENS)
    after = model(TOKENS)
    assert distance(after, before) == pytest.approx(reported)
    assert reported < 1e-5
    assert list(model.state_dict()) == names
    assert all(one.requires_grad for one in model.parameters())
    assert not any(module.training for module in model.modules())
    save_model(model, tmp_path)
    assert torch.equal(load_model(tmp_path)(TOKENS), after)


def test_a_family_that_peft_names_otherwise(tmp_path: Path) -> None:
    model = make_model("gpt2", num_key_value_heads=4)
    add_adapter(model, KINDS["dora"])
    train(model)
    assert merge_adapter(model, TOKENS) < 1e-5
    save_model(model, tmp_path)
    assert torch.equal(load_model(tmp_path)(TOKENS), model(TOKENS))


@pytest.mark.parametrize("keep_tied", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_modules_that_were_trained_whole(tied: bool, keep_tied: bool, tmp_path: Path) -> None:
    model = make_model(tie_word_embeddings=tied)
    config = replace(KINDS["lora"], modules_to_save=("embed_tokens",), keep_tied=keep_tied)
    add_adapter(model, config)
    train(model)
    before = model(TOKENS)
    assert merge_adapter(model, TOKENS) < 1e-5
    assert model.config.tie_word_embeddings == (tied and keep_tied)
    save_model(model, tmp_path)
    assert distance(load_model(tmp_path)(TOKENS), before) < 1e-5


@pytest.mark.parametrize("keep_tied", [False, True])
def test_a_narrow_base_is_rounded_to_last(keep_tied: bool) -> None:
    model = make_model(tie_word_embeddings=True).bfloat16()
    config = replace(KINDS["dora"], modules_to_save=("embed_tokens",), keep_tied=keep_tied)
    add_adapter(model, config)
    train(model)
    layer = model.model.layers[0].mlp.up_proj
    expected = layer.merged_weight("default").bfloat16()
    assert merge_adapter(model, TOKENS) < 0.05
    assert torch.equal(model.model.layers[0].mlp.up_proj.weight, expected)
    assert {one.dtype for one in model.parameters()} == {torch.bfloat16}
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == keep_tied


def test_a_difference_is_refused_and_nothing_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    add_adapter(model, KINDS["lora"])
    train(model)
    model.train()
    before, names = model(TOKENS), list(model.state_dict())
    with monkeypatch.context() as patch:
        wrong = LoraLinear.merged_weight
        patch.setattr(LoraLinear, "merged_weight", lambda self, name: wrong(self, name) * 1.01)
        with pytest.raises(ModelwrightError, match="not the same") as error:
            merge_adapter(model, TOKENS)
    assert error.value.where
    assert error.value.fix
    assert list(model.state_dict()) == names
    assert model.training
    assert torch.equal(model(TOKENS), before)
    assert merge_adapter(model, TOKENS) < 1e-5


def test_weights_that_are_not_finite_are_refused() -> None:
    model = make_model()
    add_adapter(model, KINDS["lora"])
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.lora_B["default"].weight.fill_(torch.nan)
    with pytest.raises(ModelwrightError, match="not the same"):
        merge_adapter(model, TOKENS)


def test_without_an_active_adapter_there_is_nothing_to_merge() -> None:
    model = make_model()
    with pytest.raises(InputError, match="no adapter is active"):
        merge_adapter(model, TOKENS)
    add_adapter(model, KINDS["lora"])
    with without_adapters(model), pytest.raises(InputError, match="no adapter is active"):
        merge_adapter(model, TOKENS)


def test_only_the_active_one_is_merged() -> None:
    model = make_model()
    add_adapter(model, KINDS["lora"], "first")
    train(model, "first")
    add_adapter(model, replace(KINDS["dora"], target_modules=("q_proj",)), "second")
    train(model, "second", seed=8)
    before = model(TOKENS)
    merge_adapter(model, TOKENS)
    assert distance(model(TOKENS), before) < 1e-5
    assert {type(one) for one in model.model.layers[0].mlp.children()} == {nn.Linear}
