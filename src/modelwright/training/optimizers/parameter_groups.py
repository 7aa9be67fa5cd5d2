"""Which parameters are optimized alike, by what they are."""

from __future__ import annotations

from typing import Literal

from torch import nn

from modelwright.models.adapters.lora_plus import learns_faster

GroupName = Literal["matrices", "embeddings", "head", "vectors", "adapter", "adapter_b"]


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name, in the model's order."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def parameter_groups(model: nn.Module) -> dict[GroupName, dict[str, nn.Parameter]]:
    """The parameters that are trained, by group and name, in the model's order.

    ``matrices`` are the 2-D parameters inside the blocks, ``head`` is the output projection,
    ``embeddings`` all other tables and ``vectors`` the rest: weights of norms and biases. A head
    that is tied to the embedding is an embedding. What adapters add to linear layers is
    ``adapter``, of which ``adapter_b`` may learn faster. Groups may be empty.
    """
    groups: dict[GroupName, dict[str, nn.Parameter]] = {
        "matrices": {}, "embeddings": {}, "head": {}, "vectors": {}, "adapter": {}, "adapter_b": {},
    }  # fmt: skip
    for name, parameter in trained_parameters(model).items():
        groups[_group_of(name, parameter)][name] = parameter
    return groups


def _group_of(name: str, parameter: nn.Parameter) -> GroupName:
    if ".lora_" in name:
        return "adapter_b" if learns_faster(name, parameter) else "adapter"
    if parameter.dim() != 2:
        return "vectors"
    if ".layers." in f".{name}":
        return "matrices"
    return "head" if name.endswith("lm_head.weight") else "embeddings"
