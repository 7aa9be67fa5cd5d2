"""How the loop sends a micro-batch through the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelwright.models.transformer import DecoderModel
from modelwright.training.micro_batch import Totals
from modelwright.training.objectives.objective import Losses, Objective

Forward = Callable[[Any, Totals, bool], Losses]
"""(micro-batch, totals, whether it is the step's last) → losses. Gradients are the mean over
processes, and are exchanged in the backward pass of the last micro-batch only."""


def forward_alone(model: DecoderModel, objective: Objective) -> Forward:
    """One process: the objective itself."""
    return lambda batch, totals, is_last: objective(model, batch, totals)
