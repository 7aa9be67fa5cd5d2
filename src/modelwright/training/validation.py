"""Held-out measurements during training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from modelwright.models.transformer import DecoderModel
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.batches import Batch
from modelwright.training.micro_batch import MicroBatch, moved, summed_totals
from modelwright.training.objectives.objective import Objective, Prepare
from modelwright.training.parallel.shares import share
from modelwright.training.parallel.world import ALONE, World


def mean_losses(
    model: DecoderModel,
    objective: Objective,
    batches: Sequence[MicroBatch],
    precision: torch.dtype,
    world: World = ALONE,
    prepare: Prepare | None = None,
) -> dict[str, float]:
    """``loss`` and what else the objective measures, means over all batches.

    Each process of ``world`` takes its share; all get the same. The model is left in training mode.
    """
    device = next(model.parameters()).device
    totals = {name: value or 1.0 for name, value in summed_totals(batches).items()}
    own = share(batches, world)
    sums = dict[str, float]()
    model.eval()
    use_autocast = precision != torch.float32
    # Compiling for what is not trained would take longer than it saves.
    eager = torch.compiler.set_stance("force_eager")
    with eager, torch.no_grad(), torch.autocast(device.type, precision, enabled=use_autocast):
        if prepare is not None:
            own = prepare(model, [moved(batch, device) for batch in own], world)
        for batch in own:
            losses = objective(model, moved(batch, device), totals)
            for name, value in {"loss": losses.total, **losses.measures}.items():
                sums[name] = sums.get(name, 0.0) + float(value)
    model.train()
    return dict(zip(sums, world.sum(*sums.values()), strict=True))


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
