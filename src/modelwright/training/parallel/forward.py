"""How the loop sends a micro-batch through the model."""

from __future__ import annotations

from collections.abc import Callable

from modelwright.models.transformer import CausalLM
from modelwright.training.batches import Batch
from modelwright.training.objectives.objective import Losses, Objective

Forward = Callable[[Batch, bool], Losses]
"""(micro-batch, whether it is the step's last) → losses. Gradients are the mean over processes,
and are exchanged in the backward pass of the last micro-batch only."""


def forward_alone(model: CausalLM, objective: Objective) -> Forward:
    """One process: the objective itself."""
    return lambda batch, is_last: objective(model, batch)
