"""Budgets as values: how long training may go on, in steps, tokens, epochs or time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from modelwright.core.errors import UsageError

Unit = Literal["steps", "tokens", "epochs", "FLOPs", "seconds"]

_UNITS: dict[str, tuple[Unit, float]] = {
    "step": ("steps", 1),
    "token": ("tokens", 1),
    "epoch": ("epochs", 1),
    "flop": ("FLOPs", 1),
    "second": ("seconds", 1),
    "sec": ("seconds", 1),
    "s": ("seconds", 1),
    "minute": ("seconds", 60),
    "min": ("seconds", 60),
    "m": ("seconds", 60),
    "hour": ("seconds", 3600),
    "h": ("seconds", 3600),
    "day": ("seconds", 86_400),
}
LARGEST = 1e18
"""Larger amounts of anything but FLOPs are typing errors, and do not fit the counters."""

LARGEST_FLOPS = 1e30

_MULTIPLES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18}
_PATTERN = re.compile(
    r"\s*([0-9]+(?:\.[0-9]+)?(?:e[0-9]+)?)\s*(?:([kmbgtpe])\s*(?=step|token|epoch|flop))?([a-z]+)\s*"
)
"""Amount, multiple (before a countable unit: "5 m" is minutes, "5 m tokens" a multiple), unit."""


@dataclass(frozen=True)
class Budget:
    """An amount and its unit."""

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``5 minutes``, ``90 s``, ``20 steps``, ``3M tokens``, ``4 epochs``, ``1e15 FLOPs``.

        Raises
        ------
        UsageError
            If it is something else, or zero.
        """
        match = _PATTERN.fullmatch(text.lower())
        word = match[3] if match else ""
        known = _UNITS.get(word) or _UNITS.get(word.removesuffix("s"))
        if match is None or known is None:
            raise UsageError(
                f"'{text}' is no budget",
                fix='write, for example, "5 minutes", "2000 steps", "3M tokens" or "4 epochs"',
            )
        amount = float(match[1]) * _MULTIPLES[match[2] or ""] * known[1]
        largest = LARGEST_FLOPS if known[0] == "FLOPs" else LARGEST
        if not 0 < amount < largest:
            raise UsageError(f"'{text}' is no usable budget", fix=f"give 0 < amount < {largest:g}")
        return cls(amount, known[0])

    def __str__(self) -> str:
        if self.unit != "seconds":
            whole = self.amount == round(self.amount)
            return f"{self.amount:.0f} {self.unit}" if whole else f"{self.amount:f} {self.unit}"
        if self.amount < 120:
            return f"{self.amount:.4g} seconds"
        return f"{self.amount / 60:.4g} minutes"


@dataclass
class Horizon:
    """How far a run is, as a fraction that the schedule reads.

    A budget of steps, tokens, epochs or FLOPs fixes the number of steps. A budget of time does not:
    the number of remaining steps is estimated anew after each step, and the fraction moves by
    what is left of it divided by that number, so that it reaches 1 when the time is up.

    Attributes
    ----------
    total_steps : int or None
        Fixed number of steps, or None when the limit is time.
    seconds_limit : float or None
        Training time allowed, or None when the limit is steps.
    progress : float
        Fraction done, 0 … 1.
    seconds : float
        Training time used so far, over all resumed parts, measurements and saving between steps
        included.
    seconds_per_step : float
        Of the latest steps, on which the fraction is based where the limit is time.
    first_seconds : float
        Until the first step was done.
    """

    total_steps: int | None
    seconds_limit: float | None
    progress: float = 0.0
    seconds: float = 0.0
    seconds_per_step: float = 0.0
    first_seconds: float = 0.0

    @classmethod
    def of(
        cls, budget: Budget, tokens_per_step: int, steps_per_epoch: int, flops_per_token: float
    ) -> Horizon:
        """The horizon that a budget sets for steps of that size."""
        if budget.unit == "seconds":
            return cls(None, budget.amount)
        per_unit = {
            "steps": 1.0,
            "tokens": 1.0 / tokens_per_step,
            "epochs": float(steps_per_epoch),
            "FLOPs": 1.0 / (tokens_per_step * flops_per_token),
        }[budget.unit]
        return cls(max(1, round(budget.amount * per_unit)), None)

    def least_seconds(self, seconds_per_step: float) -> float:
        """How long the whole run takes if no step is faster than that."""
        if self.total_steps is not None:
            return self.total_steps * seconds_per_step
        assert self.seconds_limit is not None  # one of the two limits is always set
        return self.seconds_limit

    @property
    def is_over(self) -> bool:
        """Whether no further step should be taken."""
        return self.progress >= 1.0

    def seconds_left(self, step: int) -> float:
        """Estimate of the training time that is left after ``step`` steps."""
        if self.total_steps is not None:
            # The mean of all: the latest steps alone would make much of a pause between them.
            rest = self.seconds - self.first_seconds
            mean = rest / (step - 1) if step > 1 else self.seconds_per_step
            return (self.total_steps - step) * mean
        assert self.seconds_limit is not None  # one of the two limits is always set
        return max(0.0, self.seconds_limit - self.seconds)

    def next_progress(self, step: int) -> float:
        """What the fraction will be after the step that comes now (``step`` counts from 0)."""
        if self.total_steps is not None:
            return min(1.0, (step + 1) / self.total_steps)
        if self.seconds_per_step == 0.0:
            return self.progress
        assert self.seconds_limit is not None  # one of the two limits is always set
        steps_left = max(1.0, (self.seconds_limit - self.seconds) / self.seconds_per_step)
        return min(1.0, self.progress + (1.0 - self.progress) / steps_left)

    def advance(self, step: int, seconds: float) -> None:
        """Record that a step was done and how long it took, all overheads included."""
        self.seconds += seconds
        if step == 0:
            self.first_seconds = self.seconds
        # The first step is slow (allocations, compilation) and tells little of the rest.
        if self.seconds_per_step == 0.0 or step < 3:
            self.seconds_per_step = seconds
        else:
            self.seconds_per_step += 0.1 * (seconds - self.seconds_per_step)
        self.progress = self.next_progress(step)
        if self.seconds_limit is not None and self.seconds >= self.seconds_limit:
            self.progress = 1.0
