"""What an objective is: (model, micro-batch, totals) → its part of the step's mean losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from modelwright.training.micro_batch import Totals
from modelwright.training.parallel.world import World


@dataclass(frozen=True)
class Losses:
    """What an objective says of a micro-batch: its part of the means over the whole step.

    The loop adds the parts of all micro-batches and processes up. What they are divided by, the
    step's totals, is known before the first backward pass; so accumulated and distributed steps
    equal full ones.

    Attributes
    ----------
    total : Tensor
        Part of the mean loss, float32 scalar.
    measures : dict of str to Tensor
        Parts of other means to be logged, float32 scalars without gradient.
    """

    total: Tensor
    measures: dict[str, Tensor] = field(default_factory=dict)


Objective = Callable[[Any, Any, Totals], Losses]
"""What is minimised: (a kind of model, a kind of micro-batch, totals) → losses. Adding one is one
file with one function."""

Prepare = Callable[[Any, Sequence[Any], World], list[Any]]
"""(model, this process's micro-batches of a step, the processes) → the micro-batches with what must
be known of the whole step before the first backward pass, as KTO's baseline."""
