"""Adapters on disk, in PEFT's folders: ``adapter_config.json`` and ``adapter_model.safetensors``.

Tensors are named by the modules of the ``transformers`` model, without the adapter's name. PiSSA is
written as the plain LoRA that it is on the unchanged base; a folder in which PEFT saved it relative
to the changed base is read as PEFT does, by taking the principal parts off once more.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from modelwright.core.errors import InputError
from modelwright.core.files import write_json
from modelwright.models.adapters.attach import (
    DEFAULT,
    adaptable_layers,
    adapted_modules,
    adapter_configs,
    add_adapter,
    remove_adapter,
)
from modelwright.models.adapters.lora_linear import LoraLinear
from modelwright.models.adapters.peft_config import PeftConfig, peft_values, read_peft_config
from modelwright.models.adapters.saved_module import SavedModule
from modelwright.models.families.rotary_decoder import as_they_are
from modelwright.models.families.table import family_named
from modelwright.models.module_tree import is_called
from modelwright.models.pretrained import load_tensors, save_tensors

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."

A, B, MAGNITUDE = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"


def save_adapter(
    model: nn.Module, folder: Path, name: str = DEFAULT, base: str | None = None
) -> None:
    """Write an adapter so that PEFT opens it; the same adapter gives the same bytes.

    Parameters
    ----------
    model : nn.Module
        With the adapter on it.
    folder : Path
        Made if it is not there.
    name : str
        The adapter.
    base : str, optional
        Name or path of the base model, for those who open the folder.

    Raises
    ------
    InputError
        If there is no such adapter, or the model's family names its layers otherwise.
    """
    config = adapter_configs(model).get(name)
    if config is None:
        raise InputError(f"the model has no adapter '{name}'", fix="check its name")
    _expect_names_of_ours(model)
    saved = [
        (place, one)
        for place, one in adapted_modules(model)
        if isinstance(one, SavedModule) and name in one.configs
    ]
    twins = _twins(saved, name)
    values = peft_values(
        config,
        targets=_shortest(model, name),
        # PEFT ties what is tied in the model to the copy of the embedding by itself.
        modules_to_save=[place for place, _ in saved if place not in twins],
        is_tied=bool(twins),
        task=_task(model, [place for place, _ in saved]),
        base=base,
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(_tensors(model, name), folder / WEIGHTS)
    write_json(folder / CONFIG, values)


def load_adapter(model: nn.Module, folder: Path, name: str = DEFAULT) -> None:
    """Open PEFT's or our folder and put the adapter on a model, which is then the active one.

    Parameters
    ----------
    model : nn.Module
        The base that the adapter was trained on; other adapters may be on it.
    folder : Path
        With ``adapter_config.json`` and ``adapter_model.safetensors``.
    name : str
        What the adapter is to be called.

    Raises
    ------
    InputError
        If files are missing or damaged, ask for what is not known here, or do not fit the model.
    """
    _expect_names_of_ours(model)
    described = read_peft_config(folder / CONFIG)
    path = folder / WEIGHTS
    if not path.is_file():
        raise InputError(
            f"no adapter here: {WEIGHTS} is missing",
            where=folder,
            fix="check the path; weights in other formats must be saved as safetensors",
        )
    tensors = {key.removeprefix(PREFIX): one for key, one in load_tensors(path).items()}
    layers = _layers(model, described, tensors, path)
    wanted = [
        one
        for one in described.adapter.modules_to_save
        if any(is_called(place, one) for place in _places(model))
    ]  # PEFT lists names of heads that a model may have, as 'score' and 'classifier'
    config = replace(described.adapter, target_modules=layers, modules_to_save=tuple(wanted))
    add_adapter(model, config, name)
    try:
        _fill(_slots(model, name), tensors, path)
    except InputError:
        remove_adapter(model, name)
        raise


def _layers(
    model: nn.Module, described: PeftConfig, tensors: dict[str, Tensor], path: Path
) -> tuple[str, ...]:
    """The layers that have matrices in the file, which are layers of the model and targets."""
    known = adaptable_layers(model)
    layers = [key.removesuffix(A) for key in tensors if key.endswith(A)]
    for layer in layers:
        if layer not in known:
            raise InputError(
                f"the adapter changes '{layer}', which is no linear layer of a block here",
                where=path,
                fix="check that it belongs to this model; embeddings and heads can only be trained "
                "whole",
            )
        if not described.is_target(layer):
            raise InputError(
                f"the adapter has matrices for '{layer}', which is none of its target_modules",
                where=path,
                fix="check that the two files belong together",
            )
        # Before an adapter is made of a rank that only the config claims.
        found = tuple(tensors[f"{layer}{A}"].shape)
        rank = described.adapter.rank_of(layer)
        if found[:1] != (rank,):
            raise InputError(
                f"'{layer}{A}' has shape {found}, and the rank is {rank}",
                where=path,
                fix="check that it belongs to this model, and that its two files belong together",
            )
    return tuple(sorted(layers, key=known.index))


@torch.no_grad()
def _fill(slots: dict[str, nn.Parameter], tensors: dict[str, Tensor], path: Path) -> None:
    wrong = [f"'{key}' is missing" for key in slots if key not in tensors]
    wrong += [f"'{key}' is not known here" for key in tensors if key not in slots]
    wrong += [
        f"'{key}' has shape {tuple(tensors[key].shape)} instead of {tuple(slot.shape)}"
        for key, slot in slots.items()
        if key in tensors and tensors[key].shape != slot.shape
    ]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(
            f"the adapter's tensors do not fit: {wrong[0]}{more}",
            where=path,
            fix="check that it belongs to this model, and that its two files belong together",
        )
    for key, slot in slots.items():
        slot.copy_(tensors[key])


def _slots(model: nn.Module, name: str) -> dict[str, nn.Parameter]:
    """Where the tensors of a file belong."""
    slots = dict[str, nn.Parameter]()
    for place, module in adapted_modules(model):
        if name not in module.configs:
            continue
        if isinstance(module, LoraLinear):
            keys = [f"{place}{suffix}" for suffix in (A, B, MAGNITUDE)]
            slots |= dict(zip(keys, module.trained(name), strict=False))
        else:
            copied = module.modules_to_save[name]
            slots |= {f"{place}.{key}": one for key, one in copied.named_parameters()}
    return slots


def _tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    """What is written: float32, on the CPU, none sharing memory with another."""
    tensors: dict[str, Tensor] = dict(_slots(model, name))
    for place, module in adapted_modules(model):
        if isinstance(module, LoraLinear) and name in module.configs:
            tensors[f"{place}{A}"], tensors[f"{place}{B}"] = module.factors(name)
    return {
        f"{PREFIX}{key}": tensors[key].detach().cpu().clone().contiguous()
        for key in sorted(tensors)
    }


def _shortest(model: nn.Module, name: str) -> list[str]:
    """Names of the adapted layers for PEFT: their ends, where these match no other module."""
    adapted = {
        place
        for place, module in adapted_modules(model)
        if isinstance(module, LoraLinear) and name in module.configs
    }
    ends = {place.rpartition(".")[2] for place in adapted}
    matched = {place for place in _places(model) if place.rpartition(".")[2] in ends}
    return list(ends if matched == adapted else adapted)


def _twins(saved: list[tuple[str, SavedModule]], name: str) -> set[str]:
    """Modules whose copies share a tensor with that of an embedding."""
    tables = {
        id(one)
        for _, module in saved
        if isinstance(module.original_module, nn.Embedding)
        for one in module.trained(name)
    }
    return {
        place
        for place, module in saved
        if not isinstance(module.original_module, nn.Embedding)
        and any(id(one) in tables for one in module.trained(name))
    }


def _task(model: nn.Module, saved: list[str]) -> str | None:
    """PEFT's ``task_type``; one that trains a score has to come with its head."""
    if hasattr(model, "lm_head"):
        return "CAUSAL_LM"
    return "SEQ_CLS" if "score" in saved else None


def _places(model: nn.Module) -> list[str]:
    """Names that modules have in the model without adapters."""
    hidden = tuple(f"{place}." for place, _ in adapted_modules(model))
    return [
        name
        for name, _ in model.named_modules()
        if name and not (hidden and name.startswith(hidden))
    ]


def has_names_of_peft(model: nn.Module) -> bool:
    """Whether the model's layers are called as in ``transformers``, by which PEFT finds them."""
    family = getattr(getattr(model, "config", None), "family", None)
    return family is None or family_named(family).to_their_names is as_they_are


def _expect_names_of_ours(model: nn.Module) -> None:
    if not has_names_of_peft(model):
        family = getattr(getattr(model, "config", None), "family", None)
        raise InputError(
            f"PEFT's folders name the layers of the family '{family}' otherwise, and several of "
            "ours are one of theirs",
            fix="merge the adapter and save the whole model, or use a family with our names, such "
            "as llama or qwen3",
        )
