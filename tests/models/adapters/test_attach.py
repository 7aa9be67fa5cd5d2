"""Adapters on whole models: which layers, what is trained, several on one base."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from adapted_models import KINDS, SIZES, TOKENS, loss_of, make_model, train
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from modelwright.core.errors import InputError
from modelwright.models.adapters.attach import (
    active_adapter,
    adaptable_layers,
    adapter_configs,
    adapter_parameters,
    add_adapter,
    remove_adapter,
    use_adapter,
    without_adapters,
)
from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.adapters.lora_linear import LoraLinear
from modelwright.models.adapters.lora_plus import learns_faster
from modelwright.models.quantization.base import quantize_base
from modelwright.models.transformer import CausalLM

LORA = KINDS["lora"]


@pytest.mark.parametrize("kind", KINDS)
def test_without_adapters_the_base_is_the_same_to_the_bit(kind: str) -> None:
    model = make_model()
    base = model(TOKENS)
    add_adapter(model, KINDS[kind])
    train(model)
    adapted = model(TOKENS)
    assert not torch.allclose(adapted, base, atol=1e-2)
    with without_adapters(model):
        assert active_adapter(model) is None
        assert torch.equal(model(TOKENS), base)
    assert torch.equal(model(TOKENS), adapted)
    remove_adapter(model, "default")
    assert torch.equal(model(TOKENS), base)
    assert not any(isinstance(module, LoraLinear) for module in model.modules())


def test_errors_inside_leave_the_adapters_on() -> None:
    model = make_model()
    add_adapter(model, LORA)
    with pytest.raises(ZeroDivisionError), without_adapters(model):
        raise ZeroDivisionError
    assert active_adapter(model) == "default"


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_all_linear_layers_of_blocks_and_no_head(family: str) -> None:
    sizes = {"num_key_value_heads": 4} if family == "gpt2" else {}
    model = make_model(family, tie_word_embeddings=False, **sizes)
    layers = adaptable_layers(model)
    assert len(layers) == 2 * (6 if family == "gpt2" else 7)
    add_adapter(model, LORA)
    adapted = [name for name, one in model.named_modules() if isinstance(one, LoraLinear)]
    assert adapted == layers == adaptable_layers(model)
    assert type(model.lm_head) is nn.Linear


def test_only_the_adapter_is_trained() -> None:
    model = make_model()
    add_adapter(model, replace(KINDS["dora"], initialisation="pissa"))
    loss_of(model(TOKENS)).backward()
    trained = {name for name, one in model.named_parameters() if one.requires_grad}
    assert trained == {name for name, one in model.named_parameters() if one.grad is not None}
    assert len(trained) == 14 * 3
    assert trained == {name for name in adapter_parameters(model) if ".pissa_" not in name}
    assert len(adapter_parameters(model)) == 14 * 5
    faster = {name for name, one in adapter_parameters(model).items() if learns_faster(name, one)}
    assert faster == {name for name in trained if ".lora_B." in name or "magnitude" in name}


def test_layers_by_name() -> None:
    model = make_model()
    add_adapter(model, replace(LORA, target_modules=("v_proj", "layers.1.mlp.up_proj")))
    adapted = [name for name, one in model.named_modules() if isinstance(one, LoraLinear)]
    assert adapted == [
        "model.layers.0.self_attn.v_proj",
        "model.layers.1.self_attn.v_proj",
        "model.layers.1.mlp.up_proj",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target_modules": ("lm_head",)}, "called 'lm_head'"),
        ({"target_modules": ("proj",)}, "called 'proj'"),
        ({"target_modules": ()}, "no linear layer"),
        ({"modules_to_save": ("score",)}, "no module 'score'"),
        ({"modules_to_save": ("q_proj",)}, "adapted and trained whole"),
        ({"initialisation": "pissa", "rank_pattern": {"1.mlp.up_proj": 49}}, "no 49 principal"),
    ],
)
def test_layers_that_are_not_there_are_named(changes: dict[str, Any], said: str) -> None:
    model = make_model()
    with pytest.raises(InputError, match=said) as error:
        add_adapter(model, replace(LORA, **changes))
    assert error.value.fix
    assert adapter_configs(model) == {}
    assert all(one.requires_grad for one in model.parameters())


@pytest.mark.parametrize("name", ["", "a.b", "keys", "pop", "weight decay", "training"])
def test_names_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be called"):
        add_adapter(make_model(), LORA, name)


@pytest.mark.parametrize(
    "changes",
    [{"rank": 0}, {"dropout": 1.0}, {"rank_pattern": {"q": 0}}, {"alpha_pattern": {"(": 1.0}}],
)
def test_configs_that_cannot_be_meant_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        AdapterConfig(**changes)


def test_patterns_give_layers_other_ranks_and_alphas() -> None:
    config = replace(
        LORA,
        rank_pattern={"layers.0.self_attn.q_proj": 8, r".*\.1\.mlp\..*": 2},
        alpha_pattern={"q_proj": 12.0},
    )
    model = make_model()
    add_adapter(model, config)
    found = {
        name: (one.lora_A["default"].weight.shape[0], one.scaling["default"])
        for name, one in model.named_modules()
        if isinstance(one, LoraLinear)
    }
    assert found["model.layers.0.self_attn.q_proj"] == (8, 1.5)
    assert found["model.layers.1.self_attn.q_proj"] == (4, 3.0)
    assert found["model.layers.1.mlp.up_proj"] == (2, 3.0)
    assert found["model.layers.0.mlp.up_proj"] == (4, 1.5)


def test_several_adapters_lie_on_one_base() -> None:
    model = make_model()
    base = model(TOKENS)
    add_adapter(model, LORA, "first")
    train(model, "first")
    first = model(TOKENS)
    add_adapter(model, replace(KINDS["dora"], target_modules=("q_proj",)), "second")
    assert active_adapter(model) == "second"
    assert torch.allclose(model(TOKENS), base, atol=1e-5)
    train(model, "second", seed=8)
    second = model(TOKENS)
    assert not torch.allclose(second, base, atol=1e-2)
    use_adapter(model, "first")
    assert torch.equal(model(TOKENS), first)
    trained = {name for name, one in model.named_parameters() if one.requires_grad}
    assert trained == set(adapter_parameters(model, "first"))
    assert not trained & set(adapter_parameters(model, "second"))
    remove_adapter(model, "first")
    assert list(adapter_configs(model)) == ["second"]
    assert torch.allclose(model(TOKENS), base, atol=1e-6)
    use_adapter(model, "second")
    assert torch.equal(model(TOKENS), second)
    with pytest.raises(InputError, match="no adapter 'first'"):
        use_adapter(model, "first")
    with pytest.raises(InputError, match="no adapter 'first'"):
        remove_adapter(model, "first")
    with pytest.raises(InputError, match="already"):
        add_adapter(model, LORA, "second")


def test_an_adapter_called_as_a_layer_is_not_mistaken() -> None:
    model = make_model()
    add_adapter(model, LORA, "0")
    add_adapter(model, LORA, "1")
    assert len(adapter_parameters(model, "0")) == len(adapter_parameters(model, "1")) == 28
    assert not set(adapter_parameters(model, "0")) & set(adapter_parameters(model, "1"))


def test_the_same_seed_gives_the_same_adapter() -> None:
    starts = []
    for seed in (1, 1, 2):
        model = make_model()
        add_adapter(model, LORA, seed=seed)
        starts.append(adapter_parameters(model)["model.layers.0.mlp.up_proj.lora_A.default.weight"])
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


@pytest.mark.parametrize("form", ["nf4", "int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_quantized_base(kind: str, form: str) -> None:
    model = make_model()
    quantize_base(model, form)
    base = model(TOKENS)
    add_adapter(model, KINDS[kind])
    assert torch.allclose(model(TOKENS), base, atol=1e-4)
    train(model)
    loss_of(model(TOKENS)).backward()
    assert all(one.grad is not None for one in model.parameters() if one.requires_grad)
    with without_adapters(model):
        assert torch.equal(model(TOKENS), base)


class TestTrainedWhole:
    @pytest.mark.parametrize("tied", [False, True])
    def test_copies_work_and_the_originals_stay(self, tied: bool) -> None:
        model = make_model(tie_word_embeddings=tied)
        base = model(TOKENS)
        add_adapter(model, replace(LORA, modules_to_save=("embed_tokens", "lm_head")))
        assert torch.equal(model(TOKENS), base)
        assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
        assert len(adapter_parameters(model)) == 28 + (1 if tied else 2)
        loss_of(model(TOKENS)).backward()
        assert all(one.grad is not None for one in adapter_parameters(model).values())
        train(model)
        assert not torch.allclose(model(TOKENS), base, atol=1e-2)
        with without_adapters(model):
            assert torch.equal(model(TOKENS), base)
        remove_adapter(model, "default")
        assert torch.equal(model(TOKENS), base)
        assert type(model.lm_head) is nn.Linear

    @pytest.mark.parametrize("named", ["embed_tokens", "lm_head"])
    def test_what_is_tied_stays_tied(self, named: str) -> None:
        model = make_model(tie_word_embeddings=True)
        add_adapter(model, replace(LORA, modules_to_save=(named,)))
        assert model.lm_head.weight is model.model.embed_tokens.weight
        assert model.lm_head.weight.requires_grad

    def test_unless_it_is_asked_for_otherwise(self) -> None:
        model = make_model(tie_word_embeddings=True)
        add_adapter(model, replace(LORA, modules_to_save=("lm_head",), keep_tied=False))
        assert model.lm_head.weight is not model.model.embed_tokens.weight
        assert model.lm_head.weight.requires_grad
        assert not model.model.embed_tokens.weight.requires_grad

    def test_of_several_adapters_each_has_its_own(self) -> None:
        model = make_model(tie_word_embeddings=False)
        base = model(TOKENS)
        add_adapter(model, replace(LORA, modules_to_save=("lm_head",)), "first")
        train(model, "first")
        add_adapter(model, replace(LORA, modules_to_save=("lm_head",)), "second")
        assert torch.equal(model(TOKENS), base)
        add_adapter(model, LORA, "third")
        assert model.lm_head.weight is model.lm_head.original_module.weight

    def test_a_narrow_base(self) -> None:
        model = make_model(tie_word_embeddings=False).bfloat16()
        add_adapter(model, replace(LORA, modules_to_save=("embed_tokens", "lm_head")))
        assert {one.dtype for one in adapter_parameters(model).values()} == {torch.float32}
        assert model(TOKENS).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", ["lora", "dora", "pissa"])
def test_recomputed_activations_see_the_same_dropout(kind: str) -> None:
    gradients = []
    for recompute in (False, True):
        model = make_model().train()
        add_adapter(model, replace(KINDS[kind], dropout=0.3))
        train(model)
        model.recompute_activations = recompute
        torch.manual_seed(0)
        loss_of(model(TOKENS)).backward()
        gradients.append([one.grad for one in adapter_parameters(model).values()])
    for one, other in zip(*gradients, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


def test_evaluation_mode_is_taken_over() -> None:
    model = make_model()
    add_adapter(model, replace(LORA, dropout=0.5))
    train(model)
    assert torch.equal(model(TOKENS), model(TOKENS))


@pytest.mark.parametrize("form", [None, "nf4", "int8"])
@pytest.mark.parametrize("kind", ["lora", "dora with pissa"])
def test_memory_can_be_counted_on_tensors_without_numbers(kind: str, form: str | None) -> None:
    with FakeTensorMode():
        model = CausalLM(SIZES).train()
        if form:
            quantize_base(model, form)
        add_adapter(model, replace(KINDS[kind], modules_to_save=("lm_head",)))
        model(torch.zeros(2, 8, dtype=torch.int64)).sum().backward()
        gradients = [one.grad for one in adapter_parameters(model).values() if one.requires_grad]
        assert all(isinstance(one, FakeTensor) for one in gradients)
