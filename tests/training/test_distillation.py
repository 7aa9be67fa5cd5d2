"""Distillation equals its formula; a student that is its teacher has nothing to learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from modelwright.core.errors import InputError
from modelwright.models.config import TransformerConfig
from modelwright.models.transformer import CausalLM, initialise
from modelwright.training.batches import Batch
from modelwright.training.objectives.distillation import distillation
from modelwright.training.objectives.next_token import next_token


def made(config: TransformerConfig, seed: int) -> CausalLM:
    model = CausalLM(config)
    initialise(model, seed)
    with torch.no_grad():  # larger than first weights, so that the distributions differ
        for parameter in model.parameters():
            parameter.add_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)),
                alpha=0.05,
            )
    return model


def batch() -> Batch:
    tokens = torch.randint(0, 512, (3, 12), generator=torch.Generator().manual_seed(2))
    weights = torch.ones(3, 11)
    weights[1, 4:] = 0.0
    return Batch(tokens[:, :-1], tokens[:, 1:], weights)


TOTALS = batch().totals()


def test_it_is_the_formula_in_value_and_gradients(tiny_config: TransformerConfig) -> None:
    teacher, share, temperature = made(tiny_config, 1), 0.7, 2.0
    found, wanted = made(tiny_config, 2), made(tiny_config, 2)
    total = distillation(teacher, temperature, share)(found, batch(), TOTALS).total
    total.backward()  # type: ignore[no-untyped-call]
    student = F.log_softmax(wanted(batch().tokens) / temperature, -1)
    with torch.no_grad():
        target = F.softmax(teacher(batch().tokens) / temperature, -1)
    divergence = (target * (target.log() - student)).sum(-1)
    soft = (divergence * batch().weights).sum() / TOTALS["tokens"] * temperature**2
    expected = share * soft + (1 - share) * next_token(wanted, batch(), TOTALS).total
    expected.backward()
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    for ours, theirs in zip(found.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)


def test_a_student_that_is_its_teacher_has_nothing_to_learn(tiny_config: TransformerConfig) -> None:
    losses = distillation(made(tiny_config, 1), 1.5, 1.0)(made(tiny_config, 1), batch(), TOTALS)
    assert losses.total.item() == pytest.approx(0.0, abs=1e-4)
    assert losses.measures["next_token"] > 0


def test_the_teacher_is_not_trained(tiny_config: TransformerConfig) -> None:
    teacher = made(tiny_config, 1)
    distillation(teacher, 1.0, 0.5)(made(tiny_config, 2), batch(), TOTALS).total.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_another_vocabulary_is_refused(tiny_config: TransformerConfig) -> None:
    other = made(replace(tiny_config, vocab_size=576), 1)
    with pytest.raises(InputError, match="576"):
        distillation(other, 1.0, 0.5)(made(tiny_config, 2), batch(), TOTALS)
