"""Merging an adapter into its base, and proving that the model is still the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from modelwright.core.errors import InputError, ModelwrightError
from modelwright.models.adapters.attach import active_adapter, adapted_modules, base_of
from modelwright.models.adapters.lora_linear import LoraLinear
from modelwright.models.adapters.saved_module import SavedModule
from modelwright.models.module_tree import copy_of, replace_module
from modelwright.models.quantization.base import dequantized, linear_of
from modelwright.models.quantization.linear import QuantizedLinear
from modelwright.models.sequence_classifier import SequenceClassifier
from modelwright.models.transformer import CausalLM

TOLERANCES = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Largest difference of an output, as a share of the largest output, by the type of the base.
Float32 gives 1e-6 or so; to narrower types the merged weight is rounded."""


def merge_adapter(model: nn.Module, tokens: Tensor, tolerance: float | None = None) -> float:
    """Merge the active adapter into the base, and compare outputs before and after.

    Sums are made in float32 and rounded to the base's type last. A quantized base is dequantized
    first, as that is what the adapter was trained on: in the original weights it would meet other
    ones than it learnt to change, and rounding the sum again would lose it. Other adapters go.

    Parameters
    ----------
    model : nn.Module
        Changed in place into an ordinary model, whose parameters can be trained; as it was if this
        fails.
    tokens : Tensor
        Token ids (B, T), int64, on the model's device, to compare the outputs on: real text says
        more than random ids.
    tolerance : float, optional
        Largest difference, as a share of the largest output; by default as :data:`TOLERANCES`.

    Returns
    -------
    float
        The difference that was measured.

    Raises
    ------
    InputError
        If no adapter is active.
    ModelwrightError
        If the outputs differ by more.
    """
    if active_adapter(model) is None:
        raise InputError("no adapter is active that could be merged", fix="switch one on first")
    if tolerance is None:
        tolerance = TOLERANCES[_base_type(model)]
    was_training = model.training
    model.eval()
    before = _outputs(model, tokens)
    replaced = _replace_all(model)
    difference = float((_outputs(model, tokens) - before).abs().max() / before.abs().max())
    if not difference <= tolerance:  # also where it is not a number
        for name, module in replaced.items():
            replace_module(model, name, module)
        model.train(was_training)
        raise ModelwrightError(
            f"the merged model is not the same: an output differs by {difference:.1e} of the "
            f"largest, and {tolerance:.0e} is allowed",
            where=f"{len(replaced)} layers, on {tokens.numel()} tokens",
            fix="serve base and adapter unmerged, or look for weights that are not finite",
        )
    _settle_tie(model)
    model.requires_grad_(True)
    model.train(was_training)
    return difference


@torch.no_grad()
def _outputs(model: nn.Module, tokens: Tensor) -> Tensor:
    """Logits, or the scores of whole rows of a model that has a head for these."""
    if isinstance(model, SequenceClassifier):
        rows, length = tokens.shape
        lasts = torch.arange(1, rows + 1, device=tokens.device) * length - 1
        scores: Tensor = model(tokens, lasts)
        return scores.float()
    outputs: Tensor = model(tokens)
    return outputs.float()


@torch.no_grad()
def _replace_all(model: nn.Module) -> dict[str, nn.Module]:
    """Put ordinary modules in the place of adapted and quantized ones; returns what was there."""
    replaced: dict[str, nn.Module] = dict(adapted_modules(model))
    inside = tuple(f"{name}." for name in replaced)
    replaced |= {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, QuantizedLinear) and not name.startswith(inside)
    }
    memo = dict[int, Any]()  # keeps tied copies tied
    for name, module in replaced.items():
        replace_module(model, name, _ordinary(module, memo).train(module.training))
    return replaced


def _ordinary(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    if isinstance(module, SavedModule):
        dtypes = {one.dtype for one in module.original_module.parameters()}
        if dtypes <= {torch.float32}:
            return module.current
        return copy_of(module.current, dtypes.pop(), memo)
    if isinstance(module, QuantizedLinear):
        return dequantized(module)
    assert isinstance(module, LoraLinear)
    base = module.base_layer
    if module.active is None or module.active not in module.configs:
        return dequantized(base) if isinstance(base, QuantizedLinear) else base
    dtype = torch.float32 if isinstance(base, QuantizedLinear) else base.weight.dtype
    return linear_of(module.merged_weight(module.active).to(dtype), base.bias)


def _settle_tie(model: nn.Module) -> None:
    """Say in the config that head and embedding are two tensors, if training made them two."""
    if isinstance(model, CausalLM) and model.config.tie_word_embeddings:
        is_tied = model.lm_head.weight is model.model.embed_tokens.weight
        model.config = replace(model.config, tie_word_embeddings=is_tied)


def _base_type(model: nn.Module) -> torch.dtype:
    """The narrowest type that a merged weight is rounded to."""
    types = {
        parameter.dtype
        for _, module in adapted_modules(model)
        for parameter in base_of(module).parameters()
    }
    return max(types, key=lambda one: TOLERANCES.get(one, 0.0), default=torch.float32)
