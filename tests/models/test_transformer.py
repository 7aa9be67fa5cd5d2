"""The model against ``transformers``, both directions, on tiny random configurations."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from modelwright.core.errors import InputError
from modelwright.models.config import TransformerConfig
from modelwright.models.pretrained import load_model, save_model
from modelwright.models.transformer import CausalLM, initialise

TOKENS = torch.randint(0, 96, (2, 17), generator=torch.Generator().manual_seed(0))


def shape(**changes: object) -> TransformerConfig:
    values: dict[str, object] = {
        "vocab_size": 96,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 32,
        "rope_theta": 5_000.0,
        "tie_word_embeddings": True,
        "eos_token_id": 3,
    }
    return TransformerConfig(**{**values, **changes})  # type: ignore[arg-type]


def randomised(config: TransformerConfig) -> CausalLM:
    model = CausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.2)
    return model.eval()


SHAPES = [{}, {"tie_word_embeddings": False}, {"num_key_value_heads": 4}, {"head_dim": 64}]


@pytest.mark.parametrize("changes", SHAPES)
def test_transformers_opens_our_folder_and_agrees(
    changes: dict[str, object], tmp_path: Path
) -> None:
    model = randomised(shape(**changes))
    save_model(model, tmp_path)
    theirs, report = AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        difference = (theirs(TOKENS).logits - model(TOKENS)).abs().max()
    assert difference < 1e-4


@pytest.mark.parametrize("changes", SHAPES)
def test_we_open_what_transformers_saves_and_agree(
    changes: dict[str, object], tmp_path: Path
) -> None:
    ours = shape(**changes)
    config = Qwen3Config(
        vocab_size=ours.vocab_size,
        hidden_size=ours.hidden_size,
        intermediate_size=ours.intermediate_size,
        num_hidden_layers=ours.num_hidden_layers,
        num_attention_heads=ours.num_attention_heads,
        num_key_value_heads=ours.num_key_value_heads,
        head_dim=ours.head_dim,
        max_position_embeddings=32,
        tie_word_embeddings=ours.tie_word_embeddings,
        rope_parameters={"rope_type": "default", "rope_theta": 5_000.0},
    )
    theirs = Qwen3ForCausalLM(config).eval()
    theirs.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    assert model.config.rope_theta == 5_000.0
    with torch.no_grad():
        difference = (theirs(TOKENS).logits - model(TOKENS)).abs().max()
    assert difference < 1e-4
    (tmp_path / "again").mkdir()
    save_model(model, tmp_path / "again")
    again = load_model(tmp_path / "again")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_the_parameter_count_is_the_real_one() -> None:
    for changes in SHAPES:
        config = shape(**changes)
        assert sum(p.numel() for p in CausalLM(config).parameters()) == config.parameter_count()


def test_positions_and_masks_as_given() -> None:
    model = randomised(shape())
    with torch.no_grad():
        plain = model(TOKENS)
        positions = torch.arange(17)
        causal = torch.ones(17, 17, dtype=torch.bool).tril()[None, None]
        given = model(TOKENS, positions.expand(2, 17), causal)
    assert torch.allclose(plain, given, atol=1e-5)


def test_first_weights_are_the_same_for_the_same_seed() -> None:
    one, two, other = CausalLM(shape()), CausalLM(shape()), CausalLM(shape())
    initialise(one, 5)
    initialise(two, 5)
    initialise(other, 6)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name])
    assert not torch.equal(one.model.embed_tokens.weight, other.model.embed_tokens.weight)


def test_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json is missing"):
        load_model(tmp_path)
    save_model(randomised(shape()), tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(InputError, match="damaged"):
        load_model(tmp_path)
    (tmp_path / "small").mkdir()
    save_model(randomised(shape(num_hidden_layers=2)), tmp_path / "small")
    (tmp_path / "model.safetensors").write_bytes(
        (tmp_path / "small/model.safetensors").read_bytes()
    )
    with pytest.raises(InputError, match=r"missing \(and"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        "{",
        '{"model_type": "gpt2"}',
        '{"model_type": "qwen3"}',
        '{"model_type": "qwen3", "rope_scaling": {"factor": 2}}',
    ],
)
def test_other_models_are_refused(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(InputError):
        load_model(tmp_path)


def test_heads_must_share_evenly() -> None:
    with pytest.raises(InputError, match="evenly"):
        shape(num_key_value_heads=3)
