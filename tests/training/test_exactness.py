"""The same step, taken in other ways: losses and gradients stay equal."""

from typing import get_args

import pytest
import torch

from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import FAMILIES, in_family
from modelwright.models.transformer import CausalLM, initialise
from modelwright.training.batches import Batch
from modelwright.training.micro_batch import summed_totals
from modelwright.training.objectives.distillation import distillation
from modelwright.training.objectives.next_token import next_token
from modelwright.training.objectives.objective import Objective
from modelwright.training.settings import PretrainSettings

LENGTHS = [9, 3, 14, 6]


def model_of(family: str, seed: int) -> CausalLM:
    sizes = TransformerConfig(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=64,
    )
    model = CausalLM(in_family(family, sizes)).train()
    initialise(model, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():  # no projection is left at zero
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


def gradients(
    model: CausalLM, objective: Objective, batches: list[Batch]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad(set_to_none=True)
    totals = summed_totals(batches)
    total = torch.zeros(())
    for batch in batches:
        losses = objective(model, batch, totals)
        losses.total.backward()  # type: ignore[no-untyped-call]
        total = total + losses.total.detach()
    return total, {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


@pytest.fixture
def documents() -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    made = []
    for length in LENGTHS:
        ids = torch.randint(0, 128, (1, length + 1), generator=generator)
        weights = torch.rand(1, length, generator=generator)
        made.append(Batch(ids[:, :-1], ids[:, 1:], weights))
    return made


def padded(documents: list[Batch]) -> Batch:
    def stack(parts: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat([torch.nn.functional.pad(p, (0, 14 - p.shape[1])) for p in parts])

    return Batch(
        stack([d.tokens for d in documents]),
        stack([d.targets for d in documents]),
        stack([d.weights for d in documents]),
    )


def packed(documents: list[Batch]) -> Batch:
    return Batch(
        torch.cat([d.tokens for d in documents], 1),
        torch.cat([d.targets for d in documents], 1),
        torch.cat([d.weights for d in documents], 1),
        torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))[None],
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["next token", "distillation"])
def test_one_step_in_four_ways(family: str, name: str, documents: list[Batch]) -> None:
    model = model_of(family, 0)
    objective = next_token if name == "next token" else distillation(model_of(family, 1), 2.0, 0.5)
    loss, expected = gradients(model, objective, [padded(documents)])
    model.model.recompute_activations = True
    recomputed = gradients(model, objective, [padded(documents)])
    assert torch.equal(recomputed[0], loss)
    assert all(torch.equal(recomputed[1][key], expected[key]) for key in expected)
    model.model.recompute_activations = False
    whole = torch.stack([gradient.norm() for gradient in expected.values()]).norm()
    for other in (documents, [packed(documents)]):
        other_loss, others = gradients(model, objective, other)
        assert abs(other_loss - loss) <= 1e-6 * abs(loss)
        differences = [(others[key] - gradient).norm() for key, gradient in expected.items()]
        assert torch.stack(differences).norm() <= 1e-6 * whole


def test_settings_name_every_family() -> None:
    assert set(get_args(PretrainSettings.model_fields["family"].annotation)) == set(FAMILIES)
