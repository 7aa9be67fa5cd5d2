"""Which parameters are optimized alike, by what they are."""

from __future__ import annotations

from typing import Literal

from torch import nn

GroupName = Literal["matrices", "embeddings", "head", "vectors"]


def parameter_groups(model: nn.Module) -> dict[GroupName, dict[str, nn.Parameter]]:
    """The parameters that are trained, by group and name, in the model's order.

    ``matrices`` are the 2-D parameters inside the blocks, ``head`` is the output projection,
    ``embeddings`` all other tables and ``vectors`` the rest: weights of norms and biases. A head
    that is tied to the embedding is an embedding. Groups may be empty.
    """
    groups: dict[GroupName, dict[str, nn.Parameter]] = {
        "matrices": {}, "embeddings": {}, "head": {}, "vectors": {},
    }  # fmt: skip
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[_group_of(name, parameter)][name] = parameter
    return groups


def _group_of(name: str, parameter: nn.Parameter) -> GroupName:
    if parameter.dim() != 2:
        return "vectors"
    if ".layers." in f".{name}":
        return "matrices"
    return "head" if name.endswith("lm_head.weight") else "embeddings"
