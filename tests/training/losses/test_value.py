"""The clipped value loss."""

from __future__ import annotations

import pytest
import torch

from modelwright.training.losses.value import clipped_value_losses


@pytest.mark.parametrize(
    ("value", "loss", "slope"),
    [
        (1.1, 0.5 * 0.9**2, -0.9),  # inside the clip: the square
        (1.5, 0.5 * 0.8**2, 0.0),  # moved further than 0.2 towards the return of 2
        (0.5, 0.5 * 1.5**2, -1.5),  # moved away: no limit
    ],
)
def test_the_clip(value: float, loss: float, slope: float) -> None:
    values = torch.tensor([[value]], requires_grad=True)
    found = clipped_value_losses(values, torch.tensor([[1.0]]), torch.tensor([[2.0]]), 0.2)
    found.backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert found.item() == pytest.approx(loss)
    assert values.grad.item() == pytest.approx(slope)
