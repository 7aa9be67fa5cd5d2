"""Early stopping: when it stops, what it keeps, and that it goes on where it was."""

import pytest
import torch
from torch import nn

from modelwright.core.errors import UsageError
from modelwright.training.budget import Horizon
from modelwright.training.callbacks.early_stopping import LOSS, EarlyStopping, check_measured
from modelwright.training.checkpoint import TrainState


def state(step: int) -> TrainState:
    return TrainState(step, 0, Horizon(100, None))


def look(stopping: EarlyStopping, model: nn.Linear, losses: list[float], first: int = 1) -> int:
    """Measure step after step, the weights being the step; the step at which it stopped or 0."""
    for step, loss in enumerate(losses, start=first):
        with torch.no_grad():
            model.weight.fill_(step)
        at = state(step)
        stopping.look(at, {LOSS: loss, "other": -loss})
        if at.is_over:
            return step
    return 0


def test_it_stops_after_so_many_that_are_not_better_and_keeps_the_best() -> None:
    model = nn.Linear(3, 2)
    stopping = EarlyStopping(model, patience=2)
    assert look(stopping, model, [3.0, 2.0, 2.5, 1.5, 1.5, 1.6, 1.0]) == 6
    stopping.restore_best()
    assert torch.equal(model.weight, torch.full((2, 3), 4.0))
    assert stopping.best == {LOSS: 1.5, "other": -1.5}
    assert stopping.step == 4


def test_it_does_not_stop_while_things_get_better() -> None:
    model = nn.Linear(3, 2)
    assert look(EarlyStopping(model, 1), model, [3.0, 2.0, 1.0]) == 0


@pytest.mark.parametrize("cut", [0, 1, 3, 5])
def test_after_resume_it_stops_at_the_same_step(cut: int) -> None:
    losses = [3.0, 2.0, 2.5, 1.5, 1.5, 1.6, 1.0]
    model, again = nn.Linear(3, 2), nn.Linear(3, 2)
    first, second = EarlyStopping(model, 2), EarlyStopping(again, 2)
    look(first, model, losses[:cut])
    second.load_state_tensors(first.state_tensors())
    assert look(second, again, losses[cut:], cut + 1) == 6
    second.restore_best()
    assert torch.equal(again.weight, torch.full((2, 3), 4.0))
    assert second.best == {LOSS: 1.5, "other": -1.5}


def test_a_loss_that_is_no_number_is_not_the_best() -> None:
    model = nn.Linear(3, 2)
    stopping = EarlyStopping(model, 2)
    assert look(stopping, model, [float("nan"), 2.0, float("nan"), float("nan")]) == 4
    assert stopping.best[LOSS] == 2.0


def test_nothing_to_measure_is_an_error() -> None:
    check_measured(None, [])
    check_measured(1, ["something"])
    with pytest.raises(UsageError, match="held-out"):
        check_measured(1, [])
