"""PEFT's folders: written and read again, the same bytes, and all that is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adapted_models import KINDS, TOKENS, distance, make_model, train
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from modelwright.core.errors import InputError
from modelwright.models.adapters.attach import adapter_configs, add_adapter
from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.adapters.peft_config import read_peft_config
from modelwright.models.adapters.peft_folder import CONFIG, WEIGHTS, load_adapter, save_adapter

LORA = KINDS["lora"]
LAYER = "base_model.model.model.layers.0.self_attn.q_proj"


def saved(folder: Path, config: AdapterConfig = LORA, **changes: Any) -> Tensor:
    """Write an adapter as training would leave it; returns the model's logits."""
    model = make_model(**changes)
    add_adapter(model, config)
    train(model)
    save_adapter(model, folder, base="a/base")
    logits: Tensor = model(TOKENS).detach()
    return logits


def edit(folder: Path, **changes: Any) -> None:
    """Change the config; None takes a key away."""
    values = json.loads((folder / CONFIG).read_text()) | changes
    text = json.dumps({key: one for key, one in values.items() if one is not None})
    (folder / CONFIG).write_text(text)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read(kind: str, tmp_path: Path) -> None:
    logits = saved(tmp_path, KINDS[kind])
    model = make_model()
    load_adapter(model, tmp_path, "again")
    assert distance(model(TOKENS), logits) < 1e-6
    config = adapter_configs(model)["again"]
    assert (config.dora, config.rs_lora) == (KINDS[kind].dora, KINDS[kind].rs_lora)
    assert config.rank == KINDS[kind].rank * (2 if "pissa" in kind else 1)


def test_the_same_adapter_gives_the_same_bytes(tmp_path: Path) -> None:
    config = replace(LORA, target_modules=("v_proj", "q_proj"), modules_to_save=("embed_tokens",))
    for name in ("a", "b"):
        saved(tmp_path / name, config)
    model = make_model()
    load_adapter(model, tmp_path / "a", "other")
    save_adapter(model, tmp_path / "c", "other", base="a/base")
    for file in (CONFIG, WEIGHTS):
        first = (tmp_path / "a" / file).read_bytes()
        assert (tmp_path / "b" / file).read_bytes() == first
        assert (tmp_path / "c" / file).read_bytes() == first


def test_names_and_values_are_those_of_peft(tmp_path: Path) -> None:
    saved(tmp_path, replace(KINDS["dora"], modules_to_save=("lm_head",)), tie_word_embeddings=False)
    with safe_open(tmp_path / WEIGHTS, "pt") as file:
        assert file.metadata() == {"format": "pt"}
    tensors = load_file(tmp_path / WEIGHTS)
    assert {one.dtype for one in tensors.values()} == {torch.float32}
    assert tensors[f"{LAYER}.lora_A.weight"].shape == (4, 48)
    assert tensors[f"{LAYER}.lora_B.weight"].shape == (48, 4)
    assert tensors[f"{LAYER}.lora_magnitude_vector"].shape == (48,)
    assert tensors["base_model.model.lm_head.weight"].shape == (96, 48)
    assert len(tensors) == 14 * 3 + 1
    config = json.loads((tmp_path / CONFIG).read_text())
    assert config["target_modules"] == [
        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj",
    ]  # fmt: skip
    assert config["modules_to_save"] == ["lm_head"]
    assert (config["r"], config["lora_alpha"], config["use_dora"]) == (4, 6, True)
    assert config["task_type"] == "CAUSAL_LM"
    assert config["base_model_name_or_path"] == "a/base"
    assert list(config) == sorted(config)


@pytest.mark.parametrize(
    ("config", "alpha"), [(KINDS["pissa"], 12), (KINDS["pissa with rslora"], 3 * 2**0.5)]
)
def test_pissa_is_written_as_lora_of_twice_the_rank(
    config: AdapterConfig, alpha: float, tmp_path: Path
) -> None:
    config = replace(config, rank_pattern={"q_proj": 2}, alpha_pattern={"up_proj": 5.0})
    logits = saved(tmp_path, config)
    values = json.loads((tmp_path / CONFIG).read_text())
    assert values["init_lora_weights"] is True
    assert (values["r"], values["rank_pattern"]) == (8, {"q_proj": 4})
    assert values["lora_alpha"] == pytest.approx(alpha)
    model = make_model()
    load_adapter(model, tmp_path)
    assert distance(model(TOKENS), logits) < 1e-6


def test_layers_whose_ends_are_also_others_are_written_in_full(tmp_path: Path) -> None:
    logits = saved(tmp_path, replace(LORA, target_modules=("layers.1.mlp.up_proj", "q_proj")))
    assert json.loads((tmp_path / CONFIG).read_text())["target_modules"] == [
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.mlp.up_proj",
        "model.layers.1.self_attn.q_proj",
    ]
    model = make_model()
    load_adapter(model, tmp_path)
    assert distance(model(TOKENS), logits) < 1e-6


@pytest.mark.parametrize("keep_tied", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("named", [("embed_tokens",), ("lm_head",), ("embed_tokens", "lm_head")])
def test_copies_of_tied_modules(
    named: tuple[str, ...], tied: bool, keep_tied: bool, tmp_path: Path
) -> None:
    config = replace(LORA, modules_to_save=named, keep_tied=keep_tied)
    logits = saved(tmp_path, config, tie_word_embeddings=tied)
    assert json.loads((tmp_path / CONFIG).read_text())["ensure_weight_tying"] == (
        tied and keep_tied
    )
    model = make_model(tie_word_embeddings=tied)
    load_adapter(model, tmp_path)
    assert distance(model(TOKENS), logits) < 1e-6
    is_tied = model.lm_head.weight is model.model.embed_tokens.weight
    assert is_tied == (tied and keep_tied)


def test_the_least_that_peft_accepts(tmp_path: Path) -> None:
    logits = saved(tmp_path, KINDS["lora"])
    values = {"peft_type": "LORA", "r": 4, "lora_alpha": 6, "target_modules": r".*\.\d+\..*_proj"}
    (tmp_path / CONFIG).write_text(json.dumps(values))
    model = make_model()
    load_adapter(model, tmp_path)
    assert distance(model(TOKENS), logits) < 1e-6


def test_keys_that_mean_nothing_here_are_let_through(tmp_path: Path) -> None:
    logits = saved(tmp_path)
    edit(
        tmp_path,
        layers_pattern=[],
        a_key_of_the_future=False,
        peft_version="9.9",
        loftq_config={"loftq_bits": 4},
        modules_to_save=["classifier", "score"],
    )
    model = make_model()
    load_adapter(model, tmp_path)
    assert distance(model(TOKENS), logits) < 1e-6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peft_type": "IA3"}, "only LORA"),
        ({"r": "4"}, "a whole number"),
        ({"r": 0}, "no rank 0"),
        ({"lora_alpha": True}, "a number"),
        ({"use_dora": 1}, "true or false"),
        ({"bias": "all"}, "'bias' .* not known"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"layers_to_transform": [0]}, "layers_to_transform"),
        ({"exclude_modules": ["q_proj"]}, "exclude_modules"),
        ({"lora_bias": True}, "lora_bias"),
        ({"target_parameters": ["experts"]}, "target_parameters"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"layer_replication": [[0, 1]]}, "layer_replication"),
        ({"a_key_of_the_future": 3}, "a_key_of_the_future"),
        ({"init_lora_weights": "olora"}, "relative to a base"),
        ({"init_lora_weights": "pissa_niter_16"}, "relative to a base"),
        ({"init_lora_weights": "loftq"}, "relative to a base"),
        ({"modules_to_save": "lm_head"}, "a list of names"),
        ({"target_modules": ["q_proj", 7]}, "a list of names"),
        ({"target_modules": "(q_proj"}, "regular expression"),
        ({"target_modules": ["q_proj"]}, "none of its target_modules"),
        ({"rank_pattern": {"q_proj": 1.5}}, "numbers by the names"),
        ({"rank_pattern": {"q_proj": 2}}, r"shape \(4, 48\), and the rank is 2"),
        ({"r": 10**12}, "and the rank is"),
        ({"use_dora": True}, "is missing"),
        ({"modules_to_save": ["lm_head"]}, "is missing"),
    ],
)
def test_what_is_not_known_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    saved(tmp_path)
    edit(tmp_path, **changes)
    model = make_model()
    with pytest.raises(InputError, match=said) as error:
        load_adapter(model, tmp_path)
    assert error.value.fix
    assert adapter_configs(model) == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({f"{LAYER}.lora_B.bias": torch.zeros(48)}, "lora_B.bias' is not known"),
        ({f"{LAYER}.lora_B.weight": None}, "lora_B.weight' is missing"),
        ({f"{LAYER}.lora_B.weight": torch.zeros(4, 48)}, r"shape \(4, 48\) instead of \(48, 4\)"),
        ({"base_model.model.lm_head.lora_A.weight": torch.zeros(4, 48)}, "'lm_head'"),
        ({"base_model.model.x.lora_A.weight": torch.zeros(4, 48)}, "'x'"),
        (
            {"base_model.model.model.embed_tokens.weight": torch.zeros(96, 48)},
            "embed_tokens.weight",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    changes: dict[str, Tensor | None], said: str, tmp_path: Path
) -> None:
    saved(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS) | changes
    save_file({key: one for key, one in tensors.items() if one is not None}, tmp_path / WEIGHTS)
    model = make_model()
    with pytest.raises(InputError, match=said) as error:
        load_adapter(model, tmp_path)
    assert str(tmp_path) in str(error.value.where)
    assert adapter_configs(model) == {}


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"adapter_config\.json is missing"):
        load_adapter(make_model(), tmp_path)
    saved(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged"):
        load_adapter(make_model(), tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(InputError, match="safetensors is missing"):
        load_adapter(make_model(), tmp_path)
    for text in ("{", "[]", "[" * 100_000):
        (tmp_path / CONFIG).write_text(text)
        with pytest.raises(InputError, match=r"adapter_config\.json"):
            load_adapter(make_model(), tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KEYS = ["r", "lora_alpha", "use_dora", "target_modules", "modules_to_save", "rank_pattern",
        "alpha_pattern", "lora_dropout", "init_lora_weights", "bias", "new"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_config_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / CONFIG
    path.write_text(json.dumps({"peft_type": "LORA"} | values))
    try:
        described = read_peft_config(path)
    except InputError:
        return
    assert described.adapter.rank >= 1
    assert described.is_target("x") in (True, False)


def test_a_family_with_other_names_is_refused(tmp_path: Path) -> None:
    model = make_model("gpt2", num_key_value_heads=4)
    add_adapter(model, LORA)
    with pytest.raises(InputError, match="'gpt2'"):
        save_adapter(model, tmp_path)
    with pytest.raises(InputError, match="'gpt2'"):
        load_adapter(model, tmp_path)


def test_an_adapter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no adapter 'x'"):
        save_adapter(make_model(), tmp_path, "x")
