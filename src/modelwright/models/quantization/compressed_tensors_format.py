"""Int8 and int4 layers as the package compressed-tensors stores them.

A weight has three tensors there ("pack-quantized"): its integers without sign, densely packed into
int32 along the input, the scales, and its shape. In "int-quantized" the integers lie as they are,
in int8. ``quantization_config`` in ``config.json`` says the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelwright.core.errors import InputError
from modelwright.models.module_tree import is_in_block, replace_module
from modelwright.models.quantization.int4 import Int4Linear
from modelwright.models.quantization.int8 import Int8Linear

METHOD = "compressed-tensors"
PACKED, PLAIN = "pack-quantized", "int-quantized"
WEIGHT, SCALES, SHAPE = "weight_packed", "weight_scale", "weight_shape"
_SIGN = 0x80
"""Turns int8 into its value plus 128 without sign, and back."""


def write_config(layers: Mapping[str, Int8Linear | Int4Linear]) -> dict[str, Any]:
    """What ``config.json`` says of layers of one type, as ``quantization_config``.

    Raises
    ------
    InputError
        If their groups are of several sizes.
    """
    sizes = {layer.in_features // layer.scales.shape[1] for layer in layers.values()}
    has_groups = any(layer.scales.shape[1] > 1 for layer in layers.values())
    if has_groups and len(sizes) > 1:
        raise InputError("layers with groups of several sizes cannot be stored together")
    weights: dict[str, Any] = {
        "num_bits": 4 if isinstance(next(iter(layers.values())), Int4Linear) else 8,
        "type": "int",
        "symmetric": True,
        "strategy": "group" if has_groups else "channel",
        "group_size": sizes.pop() if has_groups else None,
        "dynamic": False,
    }
    group = {
        "targets": ["Linear"],
        "weights": weights,
        "input_activations": None,
        "output_activations": None,
        "format": PACKED,
    }
    return {
        "quant_method": METHOD,
        "format": PACKED,
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
    }


def write_layer(layer: Int8Linear | Int4Linear) -> dict[str, Tensor]:
    """The tensors of one layer's weight, by their names within the layer."""
    if isinstance(layer, Int4Linear):
        codes = layer.packed
    else:
        codes = layer.integers.view(torch.uint8) ^ _SIGN
    words = F.pad(codes, (0, -codes.shape[1] % 4)).contiguous().view(torch.int32)
    return {
        WEIGHT: words,
        SCALES: layer.scales,
        SHAPE: torch.tensor([layer.out_features, layer.in_features]),
    }


def read_tensors(
    model: nn.Module, tensors: Mapping[str, Tensor], config: Mapping[str, Any], where: str
) -> dict[str, Tensor]:
    """Rewrite the layers that are quantized among ``tensors``; returns the tensors that are left.

    Activations stay as they are also where the model was made for rounded ones.

    Raises
    ------
    InputError
        If weights are quantized in a way that is not known here, or are damaged.
    """
    bits = _known_bits(config, where)
    left = dict(tensors)
    for name, layer in list(model.named_modules()):
        if not (isinstance(layer, nn.Linear) and is_in_block(name) and f"{name}.{SCALES}" in left):
            continue
        parts = {
            key: left.pop(f"{name}.{key}")
            for key in (WEIGHT, SCALES, SHAPE, "weight")
            if f"{name}.{key}" in left
        }
        replace_module(model, name, read_layer(parts, layer, bits, f"{where}: {name}"))
    return left


def read_layer(
    parts: Mapping[str, Tensor], layer: nn.Linear, bits: set[int], where: str
) -> Int8Linear | Int4Linear:
    """The layer of the tensors that :func:`write_layer` or the package wrote.

    Parameters
    ----------
    parts : mapping of str to Tensor
        By their names within the layer.
    layer : nn.Linear
        Whose shape is expected, and whose bias is taken over.
    bits : set of int
        What a weight may take, 4 or 8.
    where : str
        For messages.

    Raises
    ------
    InputError
        If they are damaged or do not fit the layer.
    """
    shape = (layer.out_features, layer.in_features)
    scales = _scales(parts[SCALES], shape, where)
    if WEIGHT not in parts:
        integers = _checked(parts, "weight", shape, torch.int8, where)
        return Int8Linear(integers, scales, layer.bias)
    stated = tuple(parts[SHAPE].flatten().tolist()) if SHAPE in parts else shape
    if stated != shape:
        raise _damaged(where, f"it is of shape {stated}, and the layer of shape {shape}")
    found = parts[WEIGHT].shape[-1] if parts[WEIGHT].dim() else 0
    fitting = [count for count in sorted(bits) if -(-shape[1] * count // 32) == found]
    if not fitting:
        raise _damaged(where, f"'{WEIGHT}' has {found} columns for {shape[1]} weights")
    words = _checked(parts, WEIGHT, (shape[0], found), torch.int32, where)
    codes = words.contiguous().view(torch.uint8)
    if fitting[0] == 4:
        packed = codes[:, : -(-shape[1] // 2)].contiguous()
        return Int4Linear(packed, scales, shape[1], layer.bias)
    integers = (codes[:, : shape[1]] ^ _SIGN).view(torch.int8)
    return Int8Linear(integers, scales, layer.bias)


def _known_bits(config: Mapping[str, Any], where: str) -> set[int]:
    """How many bits weights take, after a look at whether they are of a kind that is known."""
    groups = config.get("config_groups")
    if not isinstance(groups, dict) or not groups:
        raise _unknown(where, "no 'config_groups'")
    bits = set[int]()
    for group in groups.values():
        weights = group.get("weights") if isinstance(group, dict) else None
        if not isinstance(weights, dict):
            raise _unknown(where, "a group without 'weights'")
        form = group.get("format") or config.get("format")
        if form not in (PACKED, PLAIN):
            raise _unknown(where, f"format {form!r}")
        if weights.get("type", "int") != "int" or weights.get("num_bits", 8) not in (4, 8):
            raise _unknown(where, f"{weights.get('num_bits', 8)}-bit {weights.get('type', 'int')}")
        if weights.get("symmetric", True) is not True:
            raise _unknown(where, "zero points")
        bits.add(weights.get("num_bits", 8))
    return bits


def _scales(scales: Tensor, shape: tuple[int, int], where: str) -> Tensor:
    """Scales as (out, groups), float32."""
    rows, width = shape
    if scales.numel() == 1:  # one for the whole matrix
        scales = scales.reshape(1, 1).expand(rows, 1)
    if scales.dim() == 1:
        scales = scales[:, None]
    is_matrix = scales.dim() == 2 and scales.shape[0] == rows and scales.shape[1] > 0
    if not is_matrix or width % scales.shape[1]:
        raise _damaged(where, f"scales of shape {tuple(scales.shape)} for weights of {shape}")
    if not scales.is_floating_point():
        raise _damaged(where, f"scales of type {scales.dtype}")
    return scales.float().contiguous()


def _checked(
    parts: Mapping[str, Tensor], name: str, shape: tuple[int, int], dtype: torch.dtype, where: str
) -> Tensor:
    tensor = parts.get(name)
    if tensor is None or tuple(tensor.shape) != shape or tensor.dtype != dtype:
        found = "missing" if tensor is None else f"{tuple(tensor.shape)} of {tensor.dtype}"
        raise _damaged(where, f"'{name}' should be {shape} of {dtype} and is {found}")
    return tensor


def _unknown(where: str, what: str) -> InputError:
    return InputError(
        f"weights that are quantized with {what} are not known here",
        where=where,
        fix="known are symmetric integers of 4 or 8 bits; quantize the original model here instead",
    )


def _damaged(where: str, what: str) -> InputError:
    return InputError(
        f"a quantized weight is damaged: {what}", where=where, fix="get the file anew"
    )
