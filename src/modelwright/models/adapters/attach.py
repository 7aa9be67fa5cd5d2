"""Adapters on a model: added, switched on and off, counted, taken away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn

from modelwright.core.errors import InputError
from modelwright.models.adapters.config import ALL_LINEAR, AdapterConfig
from modelwright.models.adapters.lora_linear import LoraLinear
from modelwright.models.adapters.saved_module import SavedModule
from modelwright.models.module_tree import is_called, is_in_block, replace_module
from modelwright.models.quantization.linear import QuantizedLinear

DEFAULT = "default"
"""Name of the adapter where none is given."""


def add_adapter(
    model: nn.Module, config: AdapterConfig, name: str = DEFAULT, seed: int = 0
) -> None:
    """Freeze a model and put an adapter on it, which is then the active one.

    The model's output is the same as before until the adapter is trained.

    Parameters
    ----------
    model : nn.Module
        Changed in place: a ``CausalLM``, or another model with its blocks in ``layers``.
    config : AdapterConfig
        What the adapter is made of.
    name : str
        Letters, digits, ``_`` and ``-``.
    seed : int
        For the random start: the same gives the same.

    Raises
    ------
    InputError
        If the model has an adapter of that name, the name cannot be used, or layers are asked for
        that are not there.
    """
    _check_name(model, name)
    targets, saved = _targets(model, config), _saved(model, config)
    both = sorted(set(targets) & set(saved))
    if both:
        raise InputError(
            "a layer cannot be adapted and trained whole",
            where=both[0],
            fix="name it in target_modules or in modules_to_save",
        )
    if not targets:
        raise InputError("an adapter of no linear layer is none", fix="name target_modules")
    _check_ranks(model, config, targets)
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for layer in targets:
        adapted = model.get_submodule(layer)
        if not isinstance(adapted, LoraLinear):
            adapted = LoraLinear(adapted)  # type: ignore[arg-type]  # see _targets
            replace_module(model, layer, adapted)
        adapted.add(name, config, layer, generator)
    memo = dict[int, Any]()
    for module in saved:
        wrapped = model.get_submodule(module)
        if not isinstance(wrapped, SavedModule):
            wrapped = SavedModule(wrapped)
            replace_module(model, module, wrapped)
        wrapped.add(name, config, memo if config.keep_tied else {})
    use_adapter(model, name)


def use_adapter(model: nn.Module, name: str) -> None:
    """Switch to an adapter: it works and is trained, all others do neither.

    Raises
    ------
    InputError
        If the model has none of that name.
    """
    if name not in adapter_configs(model):
        raise _unknown(model, name)
    for _, module in adapted_modules(model):
        for other in module.configs:
            for parameter in module.trained(other):
                parameter.requires_grad_(other == name)
        module.active = name


def without_adapters(model: nn.Module) -> AbstractContextManager[None]:
    """Inside, the model gives the outputs of its base, bit for bit; nothing is copied."""
    return with_adapter(model, None)


@contextmanager
def with_adapter(model: nn.Module, name: str | None) -> Iterator[None]:
    """Inside, the model speaks with that adapter, or with none; what is trained stays as it is."""
    before = active_adapter(model)
    switch_adapter(model, name)
    try:
        yield
    finally:
        switch_adapter(model, before)


def switch_adapter(model: nn.Module, name: str | None) -> None:
    """Let the model speak with that adapter, or with none; what is trained stays as it is."""
    for _, module in adapted_modules(model):
        module.active = name


def remove_adapter(model: nn.Module, name: str) -> None:
    """Take an adapter away; the base stays frozen, and no adapter is active if it was.

    Raises
    ------
    InputError
        If the model has none of that name.
    """
    if name not in adapter_configs(model):
        raise _unknown(model, name)
    for place, module in adapted_modules(model):
        if name in module.configs:
            module.remove(name)
        if not module.configs:
            replace_module(model, place, base_of(module))


def adapter_configs(model: nn.Module) -> dict[str, AdapterConfig]:
    """The adapters of a model, by name."""
    configs = dict[str, AdapterConfig]()
    for _, module in adapted_modules(model):
        configs |= module.configs
    return configs


def active_adapter(model: nn.Module) -> str | None:
    """The name of the adapter that is on."""
    return next((module.active for _, module in adapted_modules(model) if module.active), None)


def adapter_parameters(model: nn.Module, name: str = DEFAULT) -> dict[str, nn.Parameter]:
    """All that belongs to an adapter, by its name in the model; a tied one once.

    PiSSA's frozen beginnings are among them: with the base they are all that a checkpoint needs.
    """
    parameters = dict[str, nn.Parameter]()
    seen = set[int]()
    for place, module in adapted_modules(model):
        for key, parameter in module.named_parameters():
            part, _, rest = key.partition(".")  # such as lora_A and default.weight
            is_own = part not in ("base_layer", "original_module")
            if is_own and rest.partition(".")[0] == name and id(parameter) not in seen:
                parameters[f"{place}.{key}"] = parameter
                seen.add(id(parameter))
    return parameters


def adapted_modules(model: nn.Module) -> list[tuple[str, LoraLinear | SavedModule]]:
    """The modules that adapters lie in, with their names, in the model's order."""
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, LoraLinear | SavedModule)
    ]


def base_of(module: LoraLinear | SavedModule) -> nn.Module:
    """What an adapted module took the place of."""
    return module.base_layer if isinstance(module, LoraLinear) else module.original_module


def adaptable_layers(model: nn.Module) -> list[str]:
    """Names of the linear layers in the blocks, adapted already or not, in the model's order."""
    return [
        name
        for name, module in model.named_modules()
        if is_in_block(name)
        and isinstance(module, nn.Linear | QuantizedLinear | LoraLinear)
        and not _is_inside(name)
    ]


def _is_inside(name: str) -> bool:
    """Whether a module is a part of an adapted one."""
    parts = name.split(".")
    return any(
        part in parts
        for part in ("base_layer", "lora_A", "lora_B", "original_module", "modules_to_save")
    )


def _targets(model: nn.Module, config: AdapterConfig) -> list[str]:
    layers = adaptable_layers(model)
    if config.target_modules == ALL_LINEAR:
        return layers
    for target in config.target_modules:
        if not any(is_called(layer, target) for layer in layers):
            known = sorted({layer.rpartition(".")[2] for layer in layers})
            raise InputError(
                f"no linear layer of a block is called '{target}'",
                where="target_modules",
                fix=f"choose from {', '.join(known)}; others can be trained whole, by "
                "modules_to_save",
            )
    return [
        layer
        for layer in layers
        if any(is_called(layer, target) for target in config.target_modules)
    ]


def _check_ranks(model: nn.Module, config: AdapterConfig, targets: list[str]) -> None:
    if config.initialisation != "pissa":
        return
    for name in targets:
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Linear | QuantizedLinear | LoraLinear)
        most = min(layer.in_features, layer.out_features)
        if config.rank_of(name) > most:
            raise InputError(
                f"a weight of shape ({layer.out_features}, {layer.in_features}) has no "
                f"{config.rank_of(name)} principal parts",
                where=name,
                fix=f"choose a rank of at most {most}",
            )


def _saved(model: nn.Module, config: AdapterConfig) -> list[str]:
    modules = {name: one for name, one in model.named_modules() if name and not _is_inside(name)}
    saved = list[str]()
    for wanted in config.modules_to_save:
        found = [name for name in modules if is_called(name, wanted)]
        if not found:
            raise InputError(
                f"the model has no module '{wanted}'",
                where="modules_to_save",
                fix="name modules such as embed_tokens or lm_head",
            )
        saved += [name for name in found if name not in saved]
    if config.keep_tied:
        tensors = {id(one) for name in saved for one in _own_parameters(modules[name])}
        saved += [
            name
            for name, module in modules.items()
            if name not in saved and any(id(one) in tensors for one in _own_parameters(module))
        ]
    return saved


def _own_parameters(module: nn.Module) -> list[nn.Parameter]:
    original = module.original_module if isinstance(module, SavedModule) else module
    return list(original.parameters(recurse=False))


def _check_name(model: nn.Module, name: str) -> None:
    # nn.ModuleDict keeps its modules as attributes, next to its own.
    is_usable = re.fullmatch(r"[A-Za-z0-9_-]+", name) and not hasattr(nn.ParameterDict(), name)
    if not is_usable or hasattr(nn.ModuleDict(), name):
        raise InputError(
            f"an adapter cannot be called {name!r}", fix="use letters, digits, '_' and '-'"
        )
    if name in adapter_configs(model):
        raise InputError(
            f"the model already has an adapter '{name}'", fix="give this one another name"
        )


def _unknown(model: nn.Module, name: str) -> InputError:
    known = ", ".join(adapter_configs(model)) or "none"
    return InputError(
        f"the model has no adapter '{name}'", fix=f"choose from those that it has: {known}"
    )
