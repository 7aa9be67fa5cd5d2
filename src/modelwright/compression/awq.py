"""AWQ: inputs that matter are scaled down and their weights up, before these are rounded.

Lin et al. 2023, arXiv:2306.00978. What makes the inputs, a norm or a projection, is divided by the
scales, so that the model computes the same; the larger weights lose less by rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from modelwright.compression.calibration import InputStatistics
from modelwright.models.quantization.integers import Grid, dequantize, quantize
from modelwright.models.transformer import Block

EXPONENTS = 20
"""Of the inputs' magnitude, evenly from 0 (no scaling) to below 1."""

_SMALLEST = 1e-4
"""Least magnitude, as a share of the mean: inputs that are 0 must not scale weights to infinity."""


@torch.no_grad()
def fold_scales(
    block: Block, names: tuple[str, ...], seen: InputStatistics, grid: Grid, group: int | None
) -> None:
    """Scale the inputs of layers that share them as is best for rounding their weights.

    Parameters
    ----------
    block : Block
        Changed in place; it computes the same as before.
    names : tuple of str
        The layers.
    seen : InputStatistics
        What they get.
    grid : Grid
        What they will be rounded to.
    group : int or None
        Weights that will share a scale; None for a whole row.
    """
    source = _source(block, names[0])
    if source is None:
        return
    weights = [block.get_parameter(f"{name}.weight") for name in names]
    origin = _origins(block, names[0], weights[0].shape[1])
    scales = best_scales(weights, seen, origin, grid, group).to(weights[0])
    for parameter in source.parameters():  # a weight of a norm or (out, in), and a bias
        parameter.div_(scales.view(-1, *[1] * (parameter.dim() - 1)))
    for weight in weights:
        weight.mul_(scales[origin.to(scales.device)])


def best_scales(
    weights: Sequence[Tensor],
    seen: InputStatistics,
    origin: Tensor,
    grid: Grid,
    group: int | None,
) -> Tensor:
    """The scales with which rounded weights give the least error of their outputs.

    A power of the inputs' mean magnitude, as AWQ has it; the exponent is searched, 0 included.

    Parameters
    ----------
    weights : sequence of Tensor
        Of the layers that share the inputs, (out, in) each.
    seen : InputStatistics
        What they get.
    origin : Tensor
        For each input, which feature of the source it comes from, (in,), int64.
    grid, group
        As :func:`fold_scales` takes them.

    Returns
    -------
    Tensor
        One for each feature of the source, float64.
    """
    count = torch.bincount(origin)
    magnitude = torch.zeros(len(count), dtype=torch.float64)
    magnitude = magnitude.index_add(0, origin, seen.magnitude) / count
    magnitude = magnitude / magnitude.mean().clamp(min=1e-30)
    best, least = torch.ones_like(magnitude), float("inf")
    for step in range(EXPONENTS):
        scales = magnitude.clamp(min=_SMALLEST) ** (step / EXPONENTS)
        scales = scales / (scales.max() * scales.min()).sqrt()
        error = sum(_error(weight, scales[origin], seen, grid, group) for weight in weights)
        if error < least:
            best, least = scales, error
    return best


def _error(
    weight: Tensor, scales: Tensor, seen: InputStatistics, grid: Grid, group: int | None
) -> float:
    """Error of the outputs when a weight is rounded with its inputs scaled."""
    wide = weight.detach().to(scales)
    groups = wide.shape[1] // (group or wide.shape[1])
    rounded = dequantize(*quantize(wide * scales, grid, groups), torch.float64)
    return seen.output_error(rounded / scales - wide)


def _source(block: Block, name: str) -> nn.Module | None:
    """What makes the inputs of a layer and can be divided; None where nothing linear does."""
    match name:
        case "self_attn.q_proj":
            return block.input_layernorm
        case "self_attn.o_proj":
            return block.self_attn.v_proj
        case "mlp.down_proj":
            return block.mlp.up_proj if block.mlp.is_gated else None
    return block.post_attention_layernorm


def _origins(block: Block, name: str, width: int) -> Tensor:
    """For each input of a layer, the feature of its source that it comes from, (in,), int64.

    Several query heads mix the values of one key/value head, whose features then serve all of them.
    """
    if name != "self_attn.o_proj":
        return torch.arange(width)
    attention = block.self_attn
    values = torch.arange(attention.kv_heads * attention.head_dim)
    by_head = values.view(attention.kv_heads, 1, attention.head_dim)
    shared = attention.heads // attention.kv_heads
    return by_head.expand(-1, shared, -1).reshape(-1)
