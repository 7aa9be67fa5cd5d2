"""The transformer by itself; against ``transformers`` it is held in ``test_families.py``."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from modelwright.core.errors import InputError
from modelwright.models.attention import attend
from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import in_family
from modelwright.models.masks import block_mask, dense_mask
from modelwright.models.pretrained import load_model, save_model
from modelwright.models.transformer import CausalLM, initialise

TOKENS = torch.randint(0, 96, (2, 17), generator=torch.Generator().manual_seed(0))


def shape(**changes: Any) -> TransformerConfig:
    values: dict[str, Any] = {
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
    return TransformerConfig(**{**values, **changes})


WINDOWS: dict[str, Any] = {"sliding_window": 4, "sliding_layers": (0, 2)}
SHAPES = {
    "qwen3": shape(),
    "windows": shape(**WINDOWS),
    "llama": in_family("llama", shape(attention_bias=True, tie_word_embeddings=False)),
    "gpt2": in_family("gpt2", shape(head_dim=12, num_key_value_heads=4)),
}


def randomised(config: TransformerConfig) -> CausalLM:
    model = CausalLM(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def test_positions_as_given() -> None:
    model = randomised(shape())
    with torch.no_grad():
        plain = model(TOKENS)
        positions = torch.arange(17)
        given = model(TOKENS, positions.expand(2, 17))
    assert torch.allclose(plain, given, atol=1e-5)


def test_sequences_longer_than_the_context_are_refused() -> None:
    with pytest.raises(InputError, match="33 tokens"):
        randomised(shape())(torch.zeros(1, 33, dtype=torch.int64))


@pytest.mark.parametrize("name", SHAPES)
def test_packed_documents_are_as_if_alone(name: str) -> None:
    model = randomised(SHAPES[name])
    lengths = [7, 1, 9]
    documents = torch.repeat_interleave(torch.tensor([5, 2, 5 + 1]), torch.tensor(lengths))
    with torch.no_grad():
        packed = model(TOKENS, documents=documents.expand(2, -1))
        alone = torch.cat([model(part) for part in TOKENS.split(lengths, dim=1)], dim=1)
    assert torch.allclose(packed, alone, atol=1e-5)
    assert not torch.allclose(packed, model(TOKENS), atol=1e-1)


def test_rows_may_be_packed_differently() -> None:
    model = randomised(shape())
    documents = torch.tensor([[0] * 17, [0] * 4 + [1] * 13])
    with torch.no_grad():
        packed = model(TOKENS, documents=documents)
        assert torch.allclose(packed[0], model(TOKENS)[0], atol=1e-5)
        assert torch.allclose(packed[1, 4:], model(TOKENS[1:, 4:])[0], atol=1e-4)


def test_documents_and_caches_contradict_each_other() -> None:
    with pytest.raises(InputError, match="documents"):
        randomised(shape())(TOKENS, caches=[], documents=torch.zeros_like(TOKENS))


def test_no_mask_is_made_where_none_is_needed() -> None:
    device = torch.device("cpu")
    assert dense_mask(8, None, None, device) is None
    assert dense_mask(8, 8, None, device) is None
    assert block_mask(8, 8, None, device) is None
    assert dense_mask(9, 8, None, device) is not None


@given(
    length=st.integers(1, 12),
    window=st.none() | st.integers(1, 12),
    cuts=st.none() | st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_masks_show_what_they_should(
    length: int, window: int | None, cuts: list[bool] | None
) -> None:
    documents = None if cuts is None else torch.tensor(cuts[:length]).cumsum(0)[None]
    mask = dense_mask(length, window, documents, torch.device("cpu"))
    for query in range(length):
        for key in range(length):
            expected = key <= query and (window is None or query - key < window)
            if documents is not None:
                expected = expected and bool(documents[0, query] == documents[0, key])
            seen = key <= query if mask is None else bool(mask[0, 0, query, key])
            assert seen == expected


@pytest.mark.filterwarnings("ignore:flex_attention called without")
@pytest.mark.parametrize("window", [None, 40])
def test_flex_attention_sees_the_same(window: int | None) -> None:
    """Uncompiled and forward only, as it has no more on machines without CUDA."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 150, 16, generator=generator) for heads in (4, 2, 2))
    documents = torch.tensor([[0] * 70 + [1] * 80, [0] * 130 + [3] * 20])
    masks = [make(150, window, documents, q.device) for make in (dense_mask, block_mask)]
    dense, by_blocks = (attend(q, k, v, mask) for mask in masks)
    assert torch.allclose(dense, by_blocks, atol=1e-5)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", SHAPES)
def test_recomputed_activations_change_no_bit(name: str, precision: torch.dtype) -> None:
    results = []
    for recompute in (False, True):
        model = randomised(SHAPES[name]).train()
        model.model.recompute_activations = recompute
        with torch.autocast("cpu", precision, enabled=precision is not torch.float32):
            logits = model(TOKENS, documents=TOKENS // 48).float()
        loss = F.cross_entropy(logits.flatten(0, 1), TOKENS.flatten())
        loss.backward()
        results.append([loss, *(parameter.grad for parameter in model.parameters())])
    for kept, again in zip(*results, strict=True):
        assert torch.equal(kept, again)


def test_recomputing_keeps_less() -> None:
    kept = []
    for recompute in (False, True):
        model = randomised(shape()).train()
        model.model.recompute_activations = recompute
        numbers = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal numbers
            numbers += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            model.hidden_states(TOKENS)
        kept.append(numbers)
    assert kept[1] < kept[0] / 5


@pytest.mark.parametrize("name", SHAPES)
def test_flops_are_those_counted(name: str) -> None:
    """Forward and backward, by torch's own counter; windows save what it does not see."""
    config = SHAPES[name]
    model = CausalLM(config)
    initialise(model, 0)
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):
        model(TOKENS).sum().backward()
    counted = counter.get_total_flops() / TOKENS.numel()
    unseen = 12 * 4 * config.head_dim * (17 - 4) * len(config.sliding_layers)
    assert config.flops_per_token(17) + unseen == counted


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_first_weights_of_other_families(name: str) -> None:
    config = SHAPES[name]
    model = CausalLM(config)
    initialise(model, 0)
    weights = dict(model.named_parameters())
    block = "model.layers.1."
    assert not weights[block + "self_attn.q_proj.bias"].any()
    assert not weights[block + "self_attn.o_proj.weight"].any()
    assert not weights[block + "mlp.down_proj.weight"].any()
    assert (weights["model.norm.weight"] == 1).all()
    expected = 0.02 if name == "gpt2" else config.hidden_size**-0.5
    assert abs(weights[block + "mlp.up_proj.weight"].std() / expected - 1) < 0.1
    if name == "gpt2":
        assert not weights["model.norm.bias"].any()
        assert abs(weights["model.embed_positions.weight"].std() / 0.02 - 1) < 0.1


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
