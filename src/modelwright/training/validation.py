"""Held-out measurements during training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from modelwright.models.transformer import CausalLM
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.batches import Batch
from modelwright.training.objectives.objective import Objective
from modelwright.training.parallel.shares import share
from modelwright.training.parallel.world import ALONE, World


def mean_loss(
    model: CausalLM,
    objective: Objective,
    batches: Sequence[Batch],
    precision: torch.dtype,
    world: World = ALONE,
) -> float:
    """Mean loss in nats over the weight of all batches; the model is left in training mode.

    Each process of ``world`` takes its share; all get the same mean.
    """
    device = next(model.parameters()).device
    model.eval()
    total = weight = 0.0
    use_autocast = precision != torch.float32
    # Compiling for what is not trained would take longer than it saves.
    eager = torch.compiler.set_stance("force_eager")
    with eager, torch.no_grad(), torch.autocast(device.type, precision, enabled=use_autocast):
        for batch in share(batches, world):
            total += float(objective(model, batch.to(device)).total)
            weight += float(batch.weights.sum())
    model.train()
    total, weight = world.sum(total, weight)
    return total / weight


def bits_per_byte(loss: float, batches: Sequence[Batch], tokenizer: Tokenizer) -> float:
    """Turn a mean loss per token into bits for each byte of the text that the targets spell.

    Unlike the loss per token this can be compared between tokenizers.
    """
    lengths = torch.tensor([len(tokenizer.token_bytes(i)) for i in range(_highest(batches) + 1)])
    text_bytes = sum(int(lengths[batch.targets].sum()) for batch in batches)
    tokens = sum(batch.targets.numel() for batch in batches)
    return loss * tokens / math.log(2) / text_bytes


def _highest(batches: Sequence[Batch]) -> int:
    return max(int(batch.targets.max()) for batch in batches)
