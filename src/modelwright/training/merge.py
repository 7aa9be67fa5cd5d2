"""The merge stage: a model and an adapter for it become one model."""

from __future__ import annotations

import torch
from torch import Tensor

from modelwright.core.artifact import conversations_taught
from modelwright.core.errors import InputError
from modelwright.core.job import Job, Outcome
from modelwright.models.adapters.attach import adapter_parameters
from modelwright.models.adapters.merge import merge_adapter
from modelwright.models.adapters.peft_folder import load_adapter
from modelwright.models.pretrained import load_model, save_model
from modelwright.models.quantization.base import quantize_base
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.pretrain import copy_tokenizer
from modelwright.training.settings import MergeSettings

TEXTS = (
    "The morning train was late again, so we walked along the river and talked about the winter.",
    "def mean(values: list[float]) -> float:\n    return sum(values) / len(values)\n",
    "1. What is 17 × 24? It is 408, as 17 × 20 = 340 and 17 × 4 = 68.",
    "Le vent s'est levé pendant la nuit ; l'été touche à sa fin. 夜里起风了。",
)
"""What outputs are compared on: prose, code, numbers, other languages."""


def merge(job: Job[MergeSettings]) -> Outcome:
    """Write a model (input ``base``) with an adapter (input ``adapter``) merged into it, in fp32.

    Raises
    ------
    InputError
        If the adapter is damaged, of a kind that is not known here, or belongs to another model.
    ModelwrightError
        If the merged model does not say the same as base and adapter.
    """
    base = job.input("base")
    trained_on = job.input("adapter").manifest.settings.get("quantize")
    if trained_on != job.settings.quantize and "quantize" in job.input("adapter").manifest.settings:
        wanted = f"--quantize {trained_on}" if trained_on else "no --quantize"
        raise InputError(
            f"the adapter was trained on other matrices than these: with {wanted}",
            where=job.input("adapter").path,
            fix=f"merge with {wanted}",
        )
    model = load_model(base.path)
    if job.settings.quantize is not None:
        quantize_base(model, job.settings.quantize)
    load_adapter(model, job.input("adapter").path)
    adapted = sum(parameter.numel() for parameter in adapter_parameters(model).values())
    tokenizer = Tokenizer.load(base.path)
    tokens = _tokens(tokenizer, model.config.max_position_embeddings)
    difference = merge_adapter(model, tokens)
    job.progress.note(
        f"  on {tokens.numel()} tokens the merged model differs from base and adapter by "
        f"{difference:.1e} of the largest output"
    )
    save_model(model, job.folder)
    copy_tokenizer(base, job.folder)
    taught = [conversations_taught(one.manifest) for one in (base, job.input("adapter"))]
    return Outcome(
        counts={
            **({} if None in taught else {"conversations": sum(one or 0 for one in taught)}),
            "parameters": model.config.parameter_count(),
            "adapter_parameters": adapted,
            "checked_tokens": tokens.numel(),
        },
        metrics={"largest_difference": difference},
    )


def _tokens(tokenizer: Tokenizer, context: int) -> Tensor:
    """The texts as rows of ids (B, T), int64, all as long as the shortest, within the context."""
    rows = [tokenizer.encode(text) for text in TEXTS]
    length = min(context, *map(len, rows))
    return torch.tensor([row[:length] for row in rows])
