"""What calibration does to the layers of a block: GPTQ, AWQ, Wanda."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from modelwright.compression.awq import fold_scales
from modelwright.compression.calibration import InputStatistics, shared_inputs
from modelwright.compression.gptq import gptq
from modelwright.compression.pruning import two_of_four, wanda_scores
from modelwright.models.module_tree import replace_module
from modelwright.models.quantization.int4 import Int4Linear
from modelwright.models.quantization.int8 import Int8Linear
from modelwright.models.quantization.integers import INT4, INT8, Grid, quantize
from modelwright.models.quantization.linear import QuantizedLinear
from modelwright.models.transformer import Block


@dataclass(frozen=True)
class IntegerForm:
    """Integers that weights become.

    Attributes
    ----------
    group : int or None
        Weights that share a scale in int4; None for int8, where a row does.
    """

    group: int | None

    @property
    def grid(self) -> Grid:
        """Which integers there are."""
        return INT8 if self.group is None else INT4

    def groups(self, layer: nn.Linear) -> int:
        """Parts of a row of the layer's weight that have a scale each."""
        return 1 if self.group is None else layer.in_features // self.group

    def layer(self, integers: Tensor, scales: Tensor, bias: nn.Parameter | None) -> QuantizedLinear:
        """The layer of integers (out, in) and scales (out, groups)."""
        if self.group is None:
            return Int8Linear(integers, scales, bias)
        return Int4Linear.of_integers(integers, scales, bias)


@dataclass(frozen=True)
class GPTQ:
    """Rounds each layer by :func:`~modelwright.compression.gptq.gptq`."""

    form: IntegerForm

    def rewrite(self, block: Block, names: tuple[str, ...], seen: InputStatistics) -> None:
        """Round the layers."""
        for name in names:
            layer = _linear(block, name)
            rounded = gptq(layer.weight, seen.gram, self.form.grid, self.form.groups(layer))
            _replace(block, name, self.form, *rounded)

    def finish(self, block: Block) -> None:
        """All layers are rounded."""


@dataclass(frozen=True)
class AWQ:
    """Scales the inputs of the layers by :mod:`modelwright.compression.awq`, then rounds them."""

    form: IntegerForm

    def rewrite(self, block: Block, names: tuple[str, ...], seen: InputStatistics) -> None:
        """Scale the layers' inputs; rounding waits, as later layers still scale earlier ones."""
        fold_scales(block, names, seen, self.form.grid, self.form.group)

    def finish(self, block: Block) -> None:
        """Round the layers."""
        for names in shared_inputs(block):
            for name in names:
                layer = _linear(block, name)
                rounded = quantize(layer.weight, self.form.grid, self.form.groups(layer))
                _replace(block, name, self.form, *rounded)


@dataclass(frozen=True)
class Wanda:
    """Prunes two of every four weights by the size of their products.

    Attributes
    ----------
    kept : dict
        The masks, by layer.
    """

    kept: dict[nn.Linear, Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def rewrite(self, block: Block, names: tuple[str, ...], seen: InputStatistics) -> None:
        """Prune the layers."""
        for name in names:
            layer = _linear(block, name)
            mask = two_of_four(wanda_scores(layer.weight, seen.gram))
            layer.weight.masked_fill_(~mask, 0)
            self.kept[layer] = mask

    def finish(self, block: Block) -> None:
        """All layers are pruned."""


def _linear(block: Block, name: str) -> nn.Linear:
    layer = block.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    return layer


def _replace(block: Block, name: str, form: IntegerForm, integers: Tensor, scales: Tensor) -> None:
    layer = _linear(block, name)
    device = layer.weight.device
    new = form.layer(integers.to(device), scales.to(device), layer.bias)
    replace_module(block, name, new.train(layer.training))
