"""An adapter as the kernels read it: a low-rank change beside each matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch.nn import functional as F

from modelwright.core.errors import UsageError
from modelwright.inference.networks import projections
from modelwright.inference.packed_weights import pack_weight
from modelwright.models.adapters.attach import adapted_modules
from modelwright.models.adapters.lora_linear import LoraLinear
from modelwright.models.transformer import CausalLM

MULTIPLE = 32
"""Ranks are filled up to, with zeros."""


class PackedAdapter:
    """The change B · A of every matrix of every layer.

    Parameters
    ----------
    model : CausalLM
        Which has the adapter.
    name : str
        What it is called there.

    Attributes
    ----------
    changes : int64 (layers, matrices, 9)
        Of each: the rank, filled up, 0 where nothing changes; A (rank, in) and B (out, rank), each
        as ``kernels/linear.py`` reads matrices. Valid while this lives.
    largest_rank : int
        Of them.

    Raises
    ------
    UsageError
        If the adapter is more than low-rank changes of the layers' matrices.
    """

    def __init__(self, model: CausalLM, name: str):
        layers = list(projections(model))
        per_layer = len(layers) // model.config.num_hidden_layers
        known = {id(module) for module in layers}
        self._kept: list[object] = []
        self.changes = no_changes(model.config.num_hidden_layers, per_layer)
        for place, module in adapted_modules(model):
            if name in module.configs and id(module) not in known:
                raise _unsuitable(name, f"changes {place}")
        for index, layer in enumerate(layers):
            if isinstance(layer, LoraLinear) and name in layer.configs:
                if name in layer.lora_magnitude_vector:
                    raise _unsuitable(name, "is a DoRA")
                self.changes[index // per_layer, index % per_layer] = self._change(layer, name)
        self.largest_rank = int(self.changes[:, :, 0].max())

    def _change(self, module: LoraLinear, name: str) -> list[int]:
        down, up = module.factors(name)
        missing = -len(down) % MULTIPLE
        a = pack_weight(F.pad(down, (0, 0, 0, missing)), "float32")
        b = pack_weight(F.pad(up * module.scaling[name], (0, missing)), "float32")
        self._kept += [a, b]
        return [len(down) + missing, *a.addresses(), *b.addresses()]


def no_changes(layers: int, matrices: int) -> NDArray[np.int64]:
    """What stands for no adapter."""
    return np.zeros((layers, matrices, 9), np.int64)


def _unsuitable(name: str, what: str) -> UsageError:
    return UsageError(
        f"the adapter '{name}' {what}, which the CPU kernels do not know",
        fix="run the model with --weights model, or merge the adapter with 'modelwright merge'",
    )
