"""Outputs, gradients and folders against PEFT."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adapted_models import KINDS, TOKENS, add_noise, distance, loss_of, make_model, train
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from modelwright.models.adapters.attach import adapter_configs, adapter_parameters, add_adapter
from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.adapters.lora_plus import learns_faster
from modelwright.models.adapters.peft_folder import load_adapter, save_adapter
from modelwright.models.config import TransformerConfig
from modelwright.models.pretrained import save_model
from modelwright.models.quantization.base import quantize_base
from modelwright.models.transformer import CausalLM

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def their_base(
    model: CausalLM, folder: Path, auto_class: Any = AutoModelForCausalLM, **options: Any
) -> Any:
    folder.mkdir(exist_ok=True)
    save_model(model, folder)
    options.setdefault("dtype", torch.float32)
    if auto_class is not AutoModelForCausalLM:
        options["num_labels"] = 1
    return auto_class.from_pretrained(folder, **options).eval()


def their_config(config: AdapterConfig, **changes: Any) -> Any:
    return peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,
        use_rslora=config.rs_lora,
        use_dora=config.dora,
        init_lora_weights="pissa" if config.initialisation == "pissa" else True,
        **{"target_modules": "all-linear"} | changes,
    )


def their_gradients(model: nn.Module) -> dict[str, Tensor]:
    """By our names."""
    return {
        name.removeprefix("base_model.model.").replace(
            "lora_magnitude_vector.default.weight", "lora_magnitude_vector.default"
        ): one.grad
        for name, one in model.named_parameters()
        if one.grad is not None
    }


def assert_the_same(ours: CausalLM, theirs: Any, tolerance: float = 1e-5) -> None:
    """Logits to 1e-6, the gradient of every parameter to the tolerance."""
    logits, expected = ours(TOKENS), theirs(TOKENS).logits
    assert distance(logits, expected) < 1e-6
    loss_of(logits).backward()
    loss_of(expected).backward()
    found, wanted = adapter_parameters(ours), their_gradients(theirs)
    assert {name for name, one in found.items() if one.grad is not None} == wanted.keys()
    for name, gradient in wanted.items():
        assert distance(found[name].grad, gradient) < tolerance, name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_gradients(family: str, kind: str, tmp_path: Path) -> None:
    """From the same parameters; PiSSA's come of the same decomposition."""
    ours = make_model(family, attention_bias=True)
    theirs = peft.get_peft_model(their_base(ours, tmp_path), their_config(KINDS[kind]))
    add_adapter(ours, KINDS[kind])
    mine = adapter_parameters(ours)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if parameter.requires_grad:
                name = name.removeprefix("base_model.model.").replace("default.weight", "default")
                name = name if name in mine else f"{name}.weight"
                if "pissa" not in kind:
                    mine[name].copy_(parameter)
                assert distance(mine[name], parameter) < 1e-5, name
                add_noise({name: mine[name]}, seed=3, std=0.05)
                parameter.copy_(mine[name])
    assert_the_same(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_peft_opens_ours(kind: str, tmp_path: Path) -> None:
    ours = make_model()
    config = replace(KINDS[kind], rank_pattern={"q_proj": 2}, alpha_pattern={"1.mlp.up_proj": 9.0})
    base = their_base(ours, tmp_path / "base")
    add_adapter(ours, config)
    train(ours)
    save_adapter(ours, tmp_path / "adapter")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter")
    assert distance(ours(TOKENS), theirs(TOKENS).logits) < 1e-6
    merged = theirs.merge_and_unload()
    assert distance(ours(TOKENS), merged(TOKENS).logits) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_we_open_peft(kind: str, tmp_path: Path) -> None:
    ours = make_model()
    base = their_base(ours, tmp_path / "base")
    patterns = {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"1.mlp.up_proj": 9}}
    theirs = peft.get_peft_model(base, their_config(KINDS[kind], **patterns)).eval()
    add_noise(dict(theirs.named_parameters()), seed=3, std=0.1)
    theirs.save_pretrained(tmp_path / "adapter")
    load_adapter(ours, tmp_path / "adapter")
    tolerance = 1e-5 if "pissa" in kind else 1e-6  # the residual is rounded once more there
    assert distance(ours(TOKENS), theirs(TOKENS).logits) < tolerance


def test_we_open_a_converted_pissa(tmp_path: Path) -> None:
    ours = make_model()
    config = their_config(KINDS["pissa"])
    theirs = peft.get_peft_model(their_base(ours, tmp_path / "base"), config).eval()
    theirs.peft_config["default"].init_lora_weights = True
    theirs.save_pretrained(tmp_path / "start")
    theirs.peft_config["default"].init_lora_weights = "pissa"
    add_noise(dict(theirs.named_parameters()), seed=3, std=0.1)
    theirs.save_pretrained(
        tmp_path / "adapter", path_initial_model_for_weight_conversion=str(tmp_path / "start")
    )
    load_adapter(ours, tmp_path / "adapter")
    assert adapter_configs(ours)["default"].rank == 8
    assert distance(ours(TOKENS), theirs(TOKENS).logits) < 1e-5


@pytest.mark.parametrize("keep_tied", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("named", [("embed_tokens",), ("lm_head",), ("embed_tokens", "lm_head")])
def test_modules_trained_whole_both_ways(
    named: tuple[str, ...], tied: bool, keep_tied: bool, tmp_path: Path
) -> None:
    ours = make_model(tie_word_embeddings=tied)
    base = their_base(ours, tmp_path / "base")
    add_adapter(ours, replace(KINDS["lora"], modules_to_save=named, keep_tied=keep_tied))
    train(ours)
    save_adapter(ours, tmp_path / "adapter")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter", is_trainable=True).eval()
    assert distance(ours(TOKENS), theirs(TOKENS).logits) < 1e-6
    add_noise(dict(theirs.named_parameters()), seed=9, std=0.05)
    theirs.save_pretrained(tmp_path / "back")
    again = make_model(tie_word_embeddings=tied)
    load_adapter(again, tmp_path / "back")
    assert distance(again(TOKENS), theirs(TOKENS).logits) < 1e-6
    assert distance(again(TOKENS), ours(TOKENS)) > 1e-3


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_qlora(kind: str, tmp_path: Path) -> None:
    """The whole of it: bitsandbytes' base under PEFT's adapter."""
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    ours = make_model(hidden_size=64, head_dim=16, intermediate_size=128)
    quantization = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )  # fmt: skip
    base = their_base(ours, tmp_path, quantization_config=quantization, device_map="cpu")
    theirs = peft.get_peft_model(base, their_config(KINDS[kind]))
    quantize_base(ours, "nf4")
    add_adapter(ours, KINDS[kind])
    train(ours)
    mine = adapter_parameters(ours)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if parameter.requires_grad:
                name = name.removeprefix("base_model.model.").replace("default.weight", "default")
                parameter.copy_(mine[name if name in mine else f"{name}.weight"])
    assert_the_same(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_under_autocast(kind: str, tmp_path: Path) -> None:
    ours = make_model()
    base = their_base(ours, tmp_path / "base")
    add_adapter(ours, KINDS[kind])
    train(ours)
    save_adapter(ours, tmp_path / "adapter")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter")
    with torch.autocast("cpu", torch.bfloat16):
        found, wanted = ours(TOKENS), theirs(TOKENS).logits
    assert found.dtype == wanted.dtype == torch.bfloat16
    assert distance(found.float(), wanted.float()) < 0.02


class Scorer(CausalLM):
    """A reward model: a score in the place of the head."""

    def __init__(self, config: TransformerConfig):
        super().__init__(config)
        del self.lm_head
        self.score = nn.Linear(config.hidden_size, 1, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        scores: Tensor = self.score(self.hidden_states(tokens)[:, -1])
        return scores


@pytest.mark.parametrize("saved", [(), ("score",)])
def test_reward_models_both_ways(saved: tuple[str, ...], tmp_path: Path) -> None:
    lm, tokens = make_model(pad_token_id=95), TOKENS.clamp(max=94)
    base = their_base(lm, tmp_path / "base", auto_class=AutoModelForSequenceClassification)
    ours = Scorer(lm.config).eval()
    ours.load_state_dict(base.state_dict(), strict=True)
    again = copy.deepcopy(ours)
    add_adapter(ours, replace(KINDS["lora"], modules_to_save=saved))
    train(ours)
    save_adapter(ours, tmp_path / "adapter")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter", is_trainable=True).eval()
    assert (theirs.peft_config["default"].task_type == "SEQ_CLS") == bool(saved)
    assert distance(ours(tokens), theirs(tokens).logits) < 1e-6
    add_noise(dict(theirs.named_parameters()), seed=9, std=0.05)
    theirs.save_pretrained(tmp_path / "back")
    load_adapter(again, tmp_path / "back")
    assert distance(again(tokens), theirs(tokens).logits) < 1e-6


def test_lora_plus(tmp_path: Path) -> None:
    """The parameters with the higher rate are those of PEFT's optimizer."""
    from peft.optimizers import create_loraplus_optimizer

    config = their_config(KINDS["dora"], modules_to_save=["norm"])
    theirs = peft.get_peft_model(their_base(make_model(), tmp_path), config)
    optimizer = create_loraplus_optimizer(theirs, torch.optim.AdamW, lr=1.0, loraplus_lr_ratio=16)
    rates = {id(one): group["lr"] for group in optimizer.param_groups for one in group["params"]}
    for name, parameter in theirs.named_parameters():
        if parameter.requires_grad:
            assert (rates[id(parameter)] == 16) == learns_faster(name, parameter), name
