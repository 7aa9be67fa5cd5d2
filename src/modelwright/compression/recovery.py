"""A short training after pruning, in which the zeros stay."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from modelwright.compression.settings import CompressSettings
from modelwright.core.job import Job
from modelwright.models.transformer import CausalLM
from modelwright.tokens.shards import TokenShards
from modelwright.training.batches import WindowBatches
from modelwright.training.callbacks.masking import Masking
from modelwright.training.fit import Fitted, fit
from modelwright.training.objectives.next_token import next_token
from modelwright.training.settings import LoopSettings


def recover(
    job: Job[CompressSettings],
    model: CausalLM,
    masks: Mapping[str, Tensor],
    shards: TokenShards,
    length: int,
) -> Fitted:
    """Train a pruned model on text, in place.

    Parameters
    ----------
    job : Job
        Says how long and how.
    model : CausalLM
        Pruned.
    masks : mapping of str to Tensor
        What is kept of its linear layers' weights, by their names.
    shards : TokenShards
        The text.
    length : int
        Most tokens in a window.

    Raises
    ------
    TrainingError
        If it would take more memory than there is, or step after step was bad.
    """
    asked = job.settings
    settings = LoopSettings(
        budget=f"{asked.recovery_steps} steps",
        learning_rate=asked.recovery_rate,
        optimizer="adamw",
        weight_decay=0.0,
        schedule="linear",
        batch_rows=asked.recovery_rows,
        device=asked.device,
        compile=False,  # takes longer than it saves in a short run
        seed=asked.seed,
    )
    length = min(length, shards.tokens - 1)
    batches = WindowBatches(
        shards, length, asked.recovery_rows, settings.micro_batch_rows, asked.seed
    )
    model.train()
    return fit(
        job,
        settings,
        model,
        next_token,
        batches,
        dict,  # what comes out is measured by the caller
        0,
        model.config.flops_per_token(length),
        callbacks=[Masking(model, masks)],
    )
