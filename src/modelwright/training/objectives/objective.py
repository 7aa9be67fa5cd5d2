"""What an objective is: (model, micro-batch) → sums of losses and of measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from modelwright.models.transformer import CausalLM
from modelwright.training.batches import Batch


@dataclass(frozen=True)
class Losses:
    """What an objective says of a micro-batch, as sums over its weight.

    The loop divides by the weight of the *whole* step, over all micro-batches and processes, which
    it knows before the first backward pass; so accumulated and distributed steps equal full ones.

    Attributes
    ----------
    total : Tensor
        Weighted sum of losses, float32 scalar.
    measures : dict of str to Tensor
        Other weighted sums to be logged, float32 scalars without gradient.
    """

    total: Tensor
    measures: dict[str, Tensor] = field(default_factory=dict)


Objective = Callable[[CausalLM, Batch], Losses]
"""What is minimised; adding one is one file with one function."""
