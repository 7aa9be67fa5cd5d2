"""The next-token objective, for pretraining and (through the weights) supervised fine-tuning."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from modelwright.models.transformer import CausalLM
from modelwright.training.batches import Batch


def next_token(model: CausalLM, batch: Batch) -> Tensor:
    """Weighted sum of the cross-entropies of all targets, in nats.

    Parameters
    ----------
    model : CausalLM
        The model.
    batch : Batch
        Targets with weight 0 add nothing.

    Returns
    -------
    Tensor
        A float32 scalar; divide by the weight of the *whole* step, not of the micro-batch, so that
        accumulated steps equal full ones.
    """
    logits = model(batch.tokens)
    losses = F.cross_entropy(
        logits.flatten(0, 1).float(), batch.targets.flatten(), reduction="none"
    )
    total: Tensor = (losses * batch.weights.flatten()).sum()
    return total
