"""A model as it is trained: all of it, or an adapter on it, quantized or not."""

from __future__ import annotations

from pathlib import Path

import torch

from modelwright.core.errors import InputError
from modelwright.models.adapters.attach import add_adapter
from modelwright.models.adapters.config import AdapterConfig
from modelwright.models.adapters.merge import merge_adapter
from modelwright.models.adapters.peft_folder import has_names_of_peft, save_adapter
from modelwright.models.quantization.base import is_quantized, quantize_base
from modelwright.models.transformer import DecoderModel
from modelwright.training.parallel.world import World
from modelwright.training.settings import ADAPTER_FOLDER, AdaptationSettings

ADAPTER_FACTOR = 10.0
"""Rates with which adapters learn best, over those of all weights (Schulman et al. 2025, "LoRA
without regret")."""


def adapt(model: DecoderModel, settings: AdaptationSettings, whole: tuple[str, ...] = ()) -> None:
    """Put the adapter on a model that the settings ask for, if they do.

    Parameters
    ----------
    model : DecoderModel
        Changed in place.
    settings : AdaptationSettings
        Which adapter.
    whole : tuple of str
        Modules that are trained whole in any case, as a new head.

    Raises
    ------
    InputError
        If a quantized model is to be trained without an adapter, or quantized once more.
    """
    if settings.adapter is None:
        check_trainable(model)
        return
    if settings.quantize is not None:
        quantize_base(model, settings.quantize)
    config = AdapterConfig(
        rank=settings.adapter_rank,
        alpha=settings.adapter_alpha or 2.0 * settings.adapter_rank,
        rs_lora=settings.adapter_rs_lora,
        dora=settings.adapter == "dora",
        initialisation=settings.adapter_start,
        dropout=settings.adapter_dropout,
        target_modules=tuple(settings.adapter_targets) or "all-linear",
        modules_to_save=(*settings.adapter_whole, *whole),
    )
    add_adapter(model, config, seed=settings.seed)


def check_trainable(model: DecoderModel) -> None:
    """Refuse a quantized model, whose matrices cannot be trained.

    Raises
    ------
    InputError
        If it is one.
    """
    if is_quantized(model):
        raise InputError(
            "a quantized model is not trained itself",
            fix="train an adapter on it (--adapter lora), or the model that it was made from",
        )


def merged(
    model: DecoderModel, settings: AdaptationSettings, folder: Path, base: Path, world: World
) -> None:
    """Merge the adapter into the model, if there is one, and write it alone below ``folder``.

    The model is checked to say the same as before. The leader writes; what PEFT would not find,
    because the family has other names there, is not written.
    """
    if settings.adapter is None:
        return
    if world.is_leader and has_names_of_peft(model):
        save_adapter(model, folder / ADAPTER_FOLDER, base=str(base))
    device = next(model.parameters()).device
    length = min(32, model.config.max_position_embeddings)
    tokens = torch.arange(length, device=device)[None] % model.config.vocab_size
    merge_adapter(model, tokens)
