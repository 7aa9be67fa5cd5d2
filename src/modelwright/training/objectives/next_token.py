"""The next-token objective, for pretraining and (through the weights) supervised fine-tuning."""

from __future__ import annotations

from modelwright.models.transformer import CausalLM
from modelwright.training.batches import Batch
from modelwright.training.cross_entropy import linear_cross_entropy
from modelwright.training.micro_batch import Totals
from modelwright.training.objectives.objective import Losses


def next_token(model: CausalLM, batch: Batch, totals: Totals) -> Losses:
    """Mean over ``tokens`` of the weighted cross-entropies of all targets, in nats.

    Parameters
    ----------
    model : CausalLM
        The model.
    batch : Batch
        Targets with weight 0 add nothing.
    totals : mapping
        With ``tokens``, the weight of all targets in the step.
    """
    hidden = model.hidden_states(batch.tokens, documents=batch.documents)
    total = linear_cross_entropy(
        hidden.flatten(0, 1),
        model.lm_head.weight,
        batch.targets.flatten(),
        batch.weights.flatten(),
        model.model.is_compiled,
    )
    return Losses(total / totals["tokens"])
