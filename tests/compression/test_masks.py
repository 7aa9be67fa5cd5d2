"""Which weights become zero, and that they stay zero."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from modelwright.compression.calibration import rewrite_blocks
from modelwright.compression.pruning import largest, two_of_four, wanda_scores
from modelwright.compression.rewriters import Wanda
from modelwright.core.errors import InputError
from modelwright.models.transformer import CausalLM
from modelwright.training.budget import Budget, Horizon
from modelwright.training.callbacks.masking import Masking
from modelwright.training.checkpoint import TrainState

SCORES = st.lists(
    st.lists(st.floats(0, 4, width=32), min_size=8, max_size=8), min_size=1, max_size=4
)


@given(SCORES, st.floats(0.01, 0.99))
def test_the_smallest_go(rows: list[list[float]], sparsity: float) -> None:
    scores = torch.tensor(rows)
    mask = largest(scores, sparsity)
    assert int((~mask).sum()) == round(sparsity * scores.numel())
    if mask.any() and not mask.all():
        assert float(scores[mask].min()) >= float(scores[~mask].max())


@given(SCORES)
def test_two_of_every_four_stay(rows: list[list[float]]) -> None:
    scores = torch.tensor(rows)
    mask = two_of_four(scores)
    fours, kept = scores.view(-1, 4), mask.view(-1, 4)
    assert bool((kept.sum(1) == 2).all())
    for values, is_kept in zip(fours, kept, strict=True):
        assert float(values[is_kept].min()) >= float(values[~is_kept].max())


def test_widths_without_fours_are_refused() -> None:
    with pytest.raises(InputError, match="weights of 6 inputs"):
        two_of_four(torch.ones(2, 6))


def test_wanda_weighs_by_the_length_of_inputs() -> None:
    inputs = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) * torch.arange(8)
    weight = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    gram = (inputs.T @ inputs).double() / 50
    expected = weight.abs() * inputs.norm(dim=0) / 50**0.5
    assert torch.allclose(wanda_scores(weight, gram), expected, atol=1e-5)


def test_wanda_loses_less_on_real_text_than_size_alone(model: CausalLM, windows: Tensor) -> None:
    by_size = CausalLM(model.config).eval()
    by_size.load_state_dict(model.state_dict())
    before = model(windows).detach()
    wanda = Wanda()
    rewrite_blocks(model, windows, wanda)
    assert len(wanda.kept) == 14
    with torch.no_grad():
        for name, layer in by_size.named_modules():
            if isinstance(layer, nn.Linear) and name.endswith("_proj"):
                layer.weight.masked_fill_(~two_of_four(layer.weight.abs()), 0)
        assert (model(windows) - before).norm() < (by_size(windows) - before).norm()
    for layer, mask in wanda.kept.items():
        assert not layer.weight[~mask].any()


def test_masks_hold_whatever_a_step_does(model: CausalLM) -> None:
    layer = model.model.layers[0].mlp.up_proj
    mask = two_of_four(layer.weight.detach().abs())
    masking = Masking(model, {"model.layers.0.mlp.up_proj": mask})
    budget = Budget.parse("3 steps")
    state = TrainState(step=0, tokens=0, horizon=Horizon.of(budget, 1, 1, 1.0))
    with torch.no_grad():
        layer.weight.fill_(float("inf"))
    masking(state)
    assert not layer.weight[~mask].any()
    assert bool(layer.weight[mask].isinf().all())
