"""Every family against ``transformers``, both directions, on tiny random configurations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from modelwright.core.errors import InputError
from modelwright.models.config import RopeScaling, TransformerConfig
from modelwright.models.families.table import FAMILIES, in_family, read_config
from modelwright.models.pretrained import load_model, save_model
from modelwright.models.transformer import CausalLM

TOKENS = torch.randint(0, 96, (2, 30), generator=torch.Generator().manual_seed(0))

SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "max_position_embeddings": 32,
    "rope_theta": 500.0,
    "eos_token_id": 3,
}
GPT2_SIZES: dict[str, Any] = {"head_dim": 12, "num_key_value_heads": 4}

LLAMA3 = RopeScaling("llama3", 4.0, 16, low_freq_factor=1.0, high_freq_factor=4.0)
YARN = RopeScaling("yarn", 4.0, 8, beta_fast=3.0, beta_slow=0.5)
OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3": ("qwen3", {}),
    "qwen3 with a head of its own": ("qwen3", {"tie_word_embeddings": False}),
    "qwen3 with biases": ("qwen3", {"attention_bias": True}),
    "qwen3 with wide heads": ("qwen3", {"head_dim": 64, "num_key_value_heads": 4}),
    "qwen3 with linear scaling": ("qwen3", {"rope_scaling": RopeScaling("linear", 4.0)}),
    "qwen3 with windows": ("qwen3", {"sliding_window": 5, "sliding_layers": (0, 2)}),
    "qwen3 with late windows": ("qwen3", {"sliding_window": 29, "sliding_layers": (1, 2)}),
    "llama": ("llama", {"norm_eps": 1e-5}),
    "llama with all of its own": (
        "llama",
        {"tie_word_embeddings": False, "attention_bias": True, "feed_forward_bias": True},
    ),
    "llama with dynamic scaling": ("llama", {"rope_scaling": RopeScaling("dynamic", 4.0)}),
    "llama with llama3 scaling": ("llama", {"rope_scaling": LLAMA3}),
    "llama with yarn": ("llama", {"rope_scaling": YARN}),
    "llama with yarn to be told": (
        "llama",
        {
            "rope_scaling": RopeScaling(
                "yarn", 3.0, 8, mscale=0.7, mscale_all_dim=0.3, truncate=False
            )
        },
    ),
    "llama with yarn's factor given": (
        "llama",
        {"rope_scaling": RopeScaling("yarn", 3.0, 8, attention_factor=0.9)},
    ),
    "gpt2": ("gpt2", GPT2_SIZES),
    "gpt2 with a head of its own": ("gpt2", GPT2_SIZES | {"tie_word_embeddings": False}),
    "gpt2 with odd heads": (
        "gpt2",
        {
            "head_dim": 3,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "positions": "learned",
        },
    ),
}
THEIR_SIZES: dict[str, Any] = {
    name: SIZES[name] for name in SIZES if name not in ("rope_theta", "eos_token_id")
}
ROPE = {"rope_type": "default", "rope_theta": 500.0}


def their_models() -> dict[str, Any]:
    """Configs made by hand, not by our writer."""
    qwen3: Any = THEIR_SIZES | {"rope_parameters": ROPE}
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}
    llama3 = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 2.0,
        "original_max_position_embeddings": 16,
    }
    return {
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**qwen3, tie_word_embeddings=True)),
        "qwen3 with late windows": lambda: Qwen3ForCausalLM(
            Qwen3Config(
                **qwen3,
                attention_bias=True,
                use_sliding_window=True,
                sliding_window=7,
                max_window_layers=1,
            )
        ),
        "llama": lambda: LlamaForCausalLM(
            LlamaConfig(
                **{**THEIR_SIZES, "head_dim": None, "num_key_value_heads": None},
                rope_parameters=ROPE,
                mlp_bias=True,
                attention_bias=True,
            )
        ),
        "llama with llama3": lambda: LlamaForCausalLM(
            LlamaConfig(**THEIR_SIZES, rope_parameters=ROPE | llama3)
        ),
        "llama with yarn": lambda: LlamaForCausalLM(
            LlamaConfig(**THEIR_SIZES, rope_parameters=ROPE | yarn, tie_word_embeddings=True)
        ),
        "gpt2": lambda: GPT2LMHeadModel(
            GPT2Config(vocab_size=96, n_positions=32, n_embd=48, n_layer=2, n_head=4)
        ),
        "gpt2 with an inner width": lambda: GPT2LMHeadModel(
            GPT2Config(
                vocab_size=96,
                n_positions=32,
                n_embd=48,
                n_layer=2,
                n_head=4,
                n_inner=64,
                tie_word_embeddings=False,
            )
        ),
    }


def configured(case: str) -> TransformerConfig:
    family, changes = OURS[case]
    return in_family(family, TransformerConfig(**{**SIZES, **changes}))


def randomise(model: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)


def assert_close(ours: Tensor, theirs: Tensor, what: str) -> None:
    """Equal to 1e-5 of the largest value."""
    with torch.no_grad():
        difference = float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-3))
    assert difference < 1e-5, f"{what}: {difference}"


def gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    return {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def assert_the_same_model(ours: CausalLM, theirs: PreTrainedModel) -> None:
    """Logits, loss, and the gradient of every parameter."""
    theirs.eval()
    output = theirs(TOKENS, labels=TOKENS)
    logits = ours(TOKENS)
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten())
    assert_close(logits, output.logits, "logits")
    assert_close(loss, output.loss, "loss")
    output.loss.backward()
    loss.backward()
    expected: Mapping[str, Tensor] = gradients(theirs)
    found = FAMILIES[ours.config.family].to_their_names(gradients(ours))
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert_close(found[name], gradient, name)


@pytest.mark.parametrize("case", OURS)
def test_transformers_opens_our_folder_and_agrees(case: str, tmp_path: Path) -> None:
    config = configured(case)
    model = CausalLM(config)
    randomise(model)
    assert sum(p.numel() for p in model.parameters()) == config.parameter_count()
    blocks = sum(p.numel() for p in model.model.layers.parameters())
    assert blocks == config.block_parameter_count()
    save_model(model, tmp_path)
    theirs, report = AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert_the_same_model(model, theirs)
    again = load_model(tmp_path)
    assert again.config == config
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


@pytest.mark.parametrize("case", their_models())
def test_we_open_what_transformers_saves_and_agree(case: str, tmp_path: Path) -> None:
    theirs = their_models()[case]()
    randomise(theirs)
    theirs.save_pretrained(tmp_path)
    assert_the_same_model(load_model(tmp_path), theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", ["llama", "gpt2"])
def test_small_number_formats_become_fp32(case: str, dtype: torch.dtype, tmp_path: Path) -> None:
    their_models()[case]().to(dtype).save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    model = load_model(tmp_path)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert_the_same_model(model, theirs)


def test_the_first_released_names_of_gpt2(tmp_path: Path) -> None:
    """Without the prefix and the head, but with the causal masks."""
    theirs = their_models()["gpt2"]()
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = {name.removeprefix("transformer."): t for name, t in load_file(path).items()}
    tensors |= {f"h.{layer}.attn.bias": torch.ones(1, 1, 32, 32).tril() for layer in (0, 1)}
    tensors |= {f"h.{layer}.attn.masked_bias": torch.tensor(-1e4) for layer in (0, 1)}
    save_file(tensors, path)
    assert_the_same_model(load_model(tmp_path), theirs)


def test_tables_of_frequencies_in_old_files_are_left_out(tmp_path: Path) -> None:
    theirs = their_models()["llama"]()
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    table = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(6)}
    save_file(load_file(path) | table, path)
    assert_the_same_model(load_model(tmp_path), theirs)


@pytest.mark.parametrize(
    "changed",
    [
        {"transformer.h.0.attn.c_attn.weight": torch.ones(3, 3, 3)},
        {"transformer.h.0.attn.c_attn.bias": torch.tensor(1.0)},
        {"transformer.h.0.mlp.c_fc.weight": torch.ones(2, 2, 2)},
        {"transformer.h.1.crossattention.c_attn.bias": torch.ones(3)},
        {"something": torch.ones(3)},
    ],
)
def test_tensors_that_do_not_fit_gpt2_are_named(changed: dict[str, Tensor], tmp_path: Path) -> None:
    their_models()["gpt2"]().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file(load_file(path) | changed, path)
    with pytest.raises(InputError, match="do not fit"):
        load_model(tmp_path)


def test_older_files_keep_their_rotary_settings_apart() -> None:
    config = FAMILIES["llama"].write_config(configured("llama with yarn"))
    del config["rope_parameters"]
    config["rope_scaling"]["type"] = config["rope_scaling"].pop("rope_type")
    assert read_config(config, "here") == configured("llama with yarn")


def test_an_unknown_family_names_the_known() -> None:
    with pytest.raises(InputError, match="'mamba'") as error:
        read_config({"model_type": "mamba"}, "config.json")
    assert all(name in str(error.value) for name in FAMILIES)


@pytest.mark.parametrize(
    ("family", "changes", "said"),
    [
        ("qwen3", {"rope_parameters": {"rope_type": "longrope", "factor": 2.0}}, "longrope"),
        ("qwen3", {"rope_scaling": {"type": "su", "factor": 2.0}}, "su"),
        ("qwen3", {"rope_scaling": {"rope_type": ["yarn"]}}, "known are"),
        ("qwen3", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ("qwen3", {"rope_scaling": {"rope_type": "linear"}}, "lacks 'factor'"),
        ("qwen3", {"rope_scaling": {"rope_type": "linear", "factor": -1}}, "'factor'"),
        ("qwen3", {"use_sliding_window": True, "max_window_layers": 0}, "'sliding_window'"),
        ("qwen3", {"use_sliding_window": True, "layer_types": ["full_attention"]}, "layer_types"),
        ("qwen3", {"use_sliding_window": True, "layer_types": ["x"] * 3}, "'x'"),
        ("qwen3", {"hidden_act": "gelu"}, "hidden_act"),
        ("qwen3", {"head_dim": 7}, "odd"),
        ("llama", {"hidden_size": 50}, "divide"),
        (
            "llama",
            {
                "rope_scaling": {
                    "rope_type": "llama3",
                    "factor": 2,
                    "low_freq_factor": 4,
                    "high_freq_factor": 4,
                }
            },
            "high_freq_factor",
        ),
        ("gpt2", {"activation_function": "relu"}, "activation_function"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "inverse_layer"),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights"),
        ("gpt2", {"add_cross_attention": True}, "cross"),
        ("gpt2", {"n_head": 5}, "5 heads"),
    ],
)
def test_what_is_not_known_is_refused(family: str, changes: dict[str, Any], said: str) -> None:
    config = FAMILIES[family].write_config(configured(family))
    with pytest.raises(InputError, match=said):
        read_config(config | changes, "config.json")


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("gpt2", {}),
        ("gpt2", GPT2_SIZES | {"rope_scaling": YARN}),
        ("llama", {"num_attention_heads": 10}),
        ("llama", {"sliding_window": 5, "sliding_layers": (0,)}),
        ("t5", {}),
    ],
)
def test_families_refuse_sizes_they_do_not_have(family: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        in_family(family, TransformerConfig(**{**SIZES, **changes}))


def test_windows_need_a_size() -> None:
    with pytest.raises(InputError, match="window"):
        TransformerConfig(**{**SIZES, "sliding_layers": (0,)})
