"""Stops when held-out measurements no longer get better, and keeps the best weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from modelwright.core.errors import UsageError
from modelwright.models.sharded import like, whole
from modelwright.training.checkpoint import TrainState
from modelwright.training.optimizers.parameter_groups import trained_parameters

LOSS, REWARD = "validation_loss", "validation_reward"
"""What is compared: the lower the better, or, where there is one, the higher."""

_PREFIX = "weights/"


def check_measured(patience: int | None, measured: Sequence[object]) -> None:
    """Make sure, before training, that there is something to measure.

    Raises
    ------
    UsageError
        If early stopping is asked for and nothing was held out.
    """
    if patience is not None and not measured:
        raise UsageError(
            "early stopping needs held-out data, and there is none",
            fix="hold some out (validation_fraction of prepare, heldout.jsonl of examples), or "
            "leave early stopping out",
        )


def _badness(values: dict[str, float]) -> float:
    return -values[REWARD] if REWARD in values else values.get(LOSS, math.inf)


class EarlyStopping:
    """Remembers the best measurement and the weights of that moment.

    Parameters
    ----------
    model : nn.Module
        Whose weights.
    patience : int
        Measurements in a row without a better one at which training stops.

    Attributes
    ----------
    best : dict of str to float
        The best measurement, all its values.
    step : int
        When it was.
    """

    def __init__(self, model: nn.Module, patience: int):
        self.patience = patience
        self.best: dict[str, float] = {}
        self.step = self.since = 0
        self._parameters = trained_parameters(model)
        self._weights = dict[str, Tensor]()

    def look(self, state: TrainState, values: dict[str, float]) -> None:
        """Take a measurement into account; ends the run if it was one too many."""
        if _badness(values) < _badness(self.best):
            self.best, self.step, self.since = dict(values), state.step, 0
            self._weights = {name: p.detach().clone() for name, p in self._parameters.items()}
        else:
            self.since += 1
            state.has_stopped = self.since >= self.patience

    @torch.no_grad()
    def restore_best(self) -> None:
        """Give the model the weights of the best measurement."""
        for name, weight in self._weights.items():
            self._parameters[name].copy_(weight)

    def state_tensors(self) -> dict[str, Tensor]:
        """All state, for an exact resume."""
        numbers = {"step": self.step, "since": self.since, **self.best}
        return {
            **{name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()},
            **{_PREFIX + name: whole(weight).cpu() for name, weight in self._weights.items()},
        }

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore what :meth:`state_tensors` gave."""
        numbers = {
            name: float(value) for name, value in tensors.items() if not name.startswith(_PREFIX)
        }
        self.step, self.since = int(numbers.pop("step")), int(numbers.pop("since"))
        self.best = numbers
        self._weights = {
            name: like(parameter, tensors[_PREFIX + name].to(parameter.device))
            for name, parameter in self._parameters.items()
            if _PREFIX + name in tensors
        }
