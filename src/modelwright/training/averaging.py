"""Averages of the weights along the run, which often predict better than the last weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modelwright.core.errors import InputError
from modelwright.models.sharded import like, whole
from modelwright.training.names import AveragingName
from modelwright.training.optimizers.parameter_groups import trained_parameters

WEIGHT = "weight"
_PREFIX = "average/"


@dataclass(frozen=True)
class AveragingSettings:
    """What is averaged.

    Attributes
    ----------
    name : {"exponential", "uniform"}
        Exponential: weights of a time ``part`` of the run ago count 1/e of the present ones
        (Polyak averaging as in Tarvainen and Valpola 2017, arXiv:1703.01780), without the bias
        to the first weights. Uniform: all weights of the last ``part`` count alike (Izmailov et
        al. 2018, arXiv:1803.05407).
    part : float
        Fraction of the run, so that it means the same for every budget, also one of time.
    """

    name: AveragingName
    part: float

    def __post_init__(self) -> None:
        if not 0 < self.part <= 1:
            raise InputError(
                f"weights cannot be averaged over {self.part:g} of the run",
                fix="give a part between 0 and 1",
            )

    def keep_and_add(self, start: float, end: float) -> tuple[float, float]:
        """What is left of the weights so far, and how much the new ones count."""
        if self.name == "exponential":
            new = -math.expm1(-(end - start) / self.part)
            return 1.0 - new, new
        return 1.0, max(0.0, end - max(start, 1.0 - self.part))


class WeightAverage:
    """A running average of a model's parameters, in float32.

    Parameters
    ----------
    model : nn.Module
        Whose weights; the average lies on the same device.
    settings : AveragingSettings
        How.
    """

    def __init__(self, model: nn.Module, settings: AveragingSettings):
        self.settings = settings
        self.weight = 0.0
        """Sum of what counts so far; 0 as long as there is no average."""
        self._parameters = trained_parameters(model)
        self._averages = {
            name: torch.zeros_like(p, dtype=torch.float32, requires_grad=False)
            for name, p in self._parameters.items()
        }

    @torch.no_grad()
    def update(self, start: float, end: float) -> None:
        """Add the weights after a step that went from ``start`` to ``end`` of the run."""
        keep, new = self.settings.keep_and_add(start, end)
        self.weight = self.weight * keep + new
        if new > 0:
            weights = [p.detach().float() for p in self._parameters.values()]
            torch._foreach_lerp_(list(self._averages.values()), weights, new / self.weight)

    def apply(self) -> None:
        """Give the model the averaged weights, if there are any, for good."""
        if self.weight > 0:
            self._fill(list(self._averages.values()))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model have the averaged weights inside, if there are any, its own again after."""
        own = [p.detach().clone() for p in self._parameters.values()]
        self.apply()
        try:
            yield
        finally:
            self._fill(own)

    @torch.no_grad()
    def _fill(self, values: list[Tensor]) -> None:
        torch._foreach_copy_(list(self._parameters.values()), values)

    def state_tensors(self) -> dict[str, Tensor]:
        """All state, for an exact resume."""
        averages = {_PREFIX + name: whole(value).cpu() for name, value in self._averages.items()}
        return {WEIGHT: torch.tensor(self.weight, dtype=torch.float64), **averages}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore what :meth:`state_tensors` gave.

        Raises
        ------
        InputError
            If it is that of another model.
        """
        there = {name.removeprefix(_PREFIX) for name in tensors if name != WEIGHT}
        if WEIGHT not in tensors or there != self._averages.keys():
            raise InputError("the checkpoint's averaged weights are not those of this model")
        self.weight = float(tensors[WEIGHT])
        for name, average in self._averages.items():
            average.copy_(like(average, tensors[_PREFIX + name].to(average.device)))
