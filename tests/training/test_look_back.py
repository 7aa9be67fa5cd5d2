"""Heads that begin by looking at the tokens just before."""

import numpy as np
import pytest
import torch
from torch import Tensor

from modelwright.models import attention as attention_module
from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import in_family
from modelwright.models.transformer import CausalLM, initialise
from modelwright.training.look_back import CONTENT, look_back

SIZE, LENGTH = 300, 64
COUNTS = np.arange(SIZE, 0, -1)


def model_with(
    heads: int, kv_heads: int, head_dim: int = 64, layers: int = 3, family: str = "qwen3"
) -> CausalLM:
    """A new model; states share a direction, as those of fitted embeddings do."""
    sizes = TransformerConfig(
        vocab_size=SIZE + 20,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=False,
    )
    model = CausalLM(in_family(family, sizes))
    initialise(model, 0)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(50).add_(torch.linspace(-1, 1, 128))
    return model.eval()


def attention_shares(model: CausalLM, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Of each block what its heads attend to, (H, T, T)."""
    shares = list[Tensor]()

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: object) -> Tensor:
        group = q.shape[1] // k.shape[1]
        keys, values = (one.repeat_interleave(group, 1) for one in (k, v))
        scores = q @ keys.transpose(-1, -2) * q.shape[-1] ** -0.5
        later = torch.ones(scores.shape[-2:]).triu(1).bool()
        shares.append(scores.masked_fill(later, -torch.inf).softmax(-1)[0])
        return shares[-1][None] @ values

    monkeypatch.setattr(attention_module, "attend", attend)
    tokens = torch.randint(SIZE, (1, LENGTH), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model(tokens)
    return shares


@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_dim", "family", "looking"),
    [
        (2, 1, 64, "qwen3", 2),
        (2, 2, 64, "qwen3", 2),
        (3, 3, 64, "qwen3", 2),
        (4, 2, 64, "qwen3", 2),
        (8, 2, 64, "qwen3", 4),
        (1, 1, 64, "qwen3", 1),
        (2, 1, 128, "qwen3", 2),
        (2, 1, 64, "llama", 2),
    ],
)
def test_each_head_looks_at_its_own_distance(
    monkeypatch: pytest.MonkeyPatch,
    heads: int,
    kv_heads: int,
    head_dim: int,
    family: str,
    looking: int,
) -> None:
    model = model_with(heads, kv_heads, head_dim, family=family)
    look_back(model, COUNTS)
    shares = attention_shares(model, monkeypatch)
    distance = 0
    for block in shares[:2]:
        for head in block[:looking]:
            distance += 1
            there = head.diagonal(-distance)
            assert there.mean() > 0.3
            others = [head.diagonal(-one).mean() for one in range(20) if one != distance]
            assert there.mean() > 1.5 * max(others)
        for head in block[looking:]:
            assert max(head.diagonal(-one).mean() for one in range(1, 20)) < 0.3
    for head in shares[2]:
        assert max(head.diagonal(-one).mean() for one in range(1, 20)) < 0.3


def test_nothing_else_changes() -> None:
    model, plain = model_with(4, 2), model_with(4, 2)
    look_back(model, COUNTS)
    tokens = torch.randint(SIZE, (2, 30), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(model(tokens), plain(tokens))  # the blocks still add nothing
    before = dict(plain.named_parameters())
    changed = {name for name, one in model.named_parameters() if not torch.equal(one, before[name])}
    assert changed == {
        f"model.layers.{layer}.self_attn.{name}_proj.weight" for layer in (0, 1) for name in "qk"
    }
    attention, old = model.model.layers[0].self_attn, plain.model.layers[0].self_attn
    for linear, was, looking in (
        (attention.q_proj, old.q_proj, 128),
        (attention.k_proj, old.k_proj, 64),
    ):
        assert torch.equal(linear.weight[looking:], was.weight[looking:])
        added = linear.weight[:looking] - CONTENT * was.weight[:looking]
        assert torch.linalg.matrix_rank(added, rtol=1e-4) == 1


def test_a_model_of_one_block_looks_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_with(2, 1, layers=1)
    look_back(model, COUNTS)
    (shares,) = attention_shares(model, monkeypatch)
    assert shares[0].diagonal(-1).mean() > 0.3


def test_tokens_that_never_occur_do_not_matter() -> None:
    models = [model_with(2, 1) for _ in range(2)]
    with torch.no_grad():
        models[1].model.embed_tokens.weight[SIZE - 100 :].neg_()
    counts = np.concatenate([COUNTS[:-100], np.zeros(100, dtype=np.int64)])
    for model in models:
        look_back(model, counts)
    first, second = (one.model.layers[0].self_attn.q_proj.weight for one in models)
    torch.testing.assert_close(first, second)


def test_positions_that_do_not_turn_leave_the_model_as_it_is() -> None:
    model, plain = model_with(2, 2, family="gpt2"), model_with(2, 2, family="gpt2")
    look_back(model, COUNTS)
    before = dict(plain.named_parameters())
    assert all(torch.equal(one, before[name]) for name, one in model.named_parameters())
