from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from modelwright.models.block_attention import block_attention, is_block_attention_faster
from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM


def tensors(heads: int, kv_heads: int, length: int, dtype: torch.dtype) -> list[Tensor]:
    """Queries, keys and values as the model makes them: (B, T, heads, D), turned."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for count in (heads, kv_heads, kv_heads):
        x = torch.randn(2, length, count, 32, generator=generator).to(dtype)
        made.append(x.transpose(1, 2).requires_grad_())
    return made


@pytest.mark.parametrize(("heads", "kv_heads"), [(3, 3), (4, 2), (4, 1)])
@pytest.mark.parametrize("length", [128, 384])
def test_it_equals_torch_s_attention_with_its_gradients(
    heads: int, kv_heads: int, length: int
) -> None:
    inputs = tensors(heads, kv_heads, length, torch.float64)
    slopes = torch.randn(2, heads, length, 32, dtype=torch.float64)
    ours = block_attention(*inputs)
    theirs = F.scaled_dot_product_attention(*inputs, is_causal=True, enable_gqa=True)
    # Sums are kept in float32 whatever the type of the inputs is.
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    for mine, reference in zip(
        torch.autograd.grad(ours, inputs, slopes),
        torch.autograd.grad(theirs, inputs, slopes),
        strict=True,
    ):
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-5)


def test_it_is_as_near_to_the_truth_as_torch_s_in_bfloat16() -> None:
    inputs = tensors(4, 2, 256, torch.bfloat16)
    exact = [x.detach().double().requires_grad_() for x in inputs]
    truth = F.scaled_dot_product_attention(*exact, is_causal=True, enable_gqa=True)
    theirs = F.scaled_dot_product_attention(*inputs, is_causal=True, enable_gqa=True)
    ours = block_attention(*inputs)

    def errors(out: Tensor) -> list[float]:
        found = torch.autograd.grad(out.sum() + (out * out).sum(), inputs)
        wanted = torch.autograd.grad(truth.sum() + (truth * truth).sum(), exact, retain_graph=True)
        pairs = [(out, truth), *zip(found, wanted, strict=True)]
        return [float((one - two).detach().norm() / two.detach().norm()) for one, two in pairs]

    assert all(
        mine < 2 * reference + 1e-3
        for mine, reference in zip(errors(ours), errors(theirs), strict=True)
    )


def test_eager_and_other_shapes_keep_torch_s() -> None:
    q, k, _ = tensors(2, 2, 256, torch.bfloat16)
    assert not is_block_attention_faster(q, k)  # nothing is compiled here
    answers = list[bool]()

    def ask(q: Tensor, k: Tensor) -> Tensor:
        answers.append(is_block_attention_faster(q, k))
        return q + 1

    compiled = torch.compile(ask, backend="eager")
    compiled(q, k)
    compiled(q[:, :, :100], k[:, :, :100])
    compiled(q.float(), k.float())
    with torch.no_grad():
        compiled(q.detach(), k.detach())
    assert answers == [True, False, False, False]


@pytest.mark.parametrize("rows", [3, 2])
def test_a_compiled_block_trains_as_an_eager_one_does(
    tiny_config: TransformerConfig, rows: int
) -> None:
    """``aot_eager`` traces forward and backward as Inductor gets them, without building them."""
    config = replace(tiny_config, max_position_embeddings=256)
    model = CausalLM(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 8)
    tokens = torch.randint(config.vocab_size, (rows, 256), generator=generator)

    def gradients() -> list[Tensor]:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            out = model.hidden_states(tokens)
        (out * torch.linspace(0, 1, out.numel()).view(out.shape)).sum().backward()
        return [p.grad.clone() for p in model.model.layers.parameters() if p.grad is not None]

    eager = gradients()
    for layer in model.model.layers:
        layer.compile(backend="aot_eager")
    compiled = gradients()
    norm = torch.cat([one.flatten() for one in eager]).norm()
    difference = torch.cat([(a - b).flatten() for a, b in zip(eager, compiled, strict=True)]).norm()
    assert 0 < difference < 0.02 * norm  # another order of the same roundings
