"""NF4 layers under the names that bitsandbytes gives them in checkpoints.

A weight has six tensors there: the packed levels, the scales, both code books, the scales of the
scales, and a JSON object as bytes (``QuantState.as_dict`` of bitsandbytes 0.50).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from modelwright.core.errors import InputError
from modelwright.models.module_tree import replace_module
from modelwright.models.quantization import double_quantization, nf4
from modelwright.models.quantization.nf4_linear import NF4Linear

METHOD = "bitsandbytes"
STATE = "quant_state.bitsandbytes__nf4"


def write_config(is_double: bool) -> dict[str, Any]:
    """What ``config.json`` says of a model in NF4, as ``quantization_config``."""
    return {
        "quant_method": METHOD,
        "load_in_4bit": True,
        "load_in_8bit": False,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": is_double,
        "bnb_4bit_compute_dtype": "float32",
        "bnb_4bit_quant_storage": "uint8",
        "llm_int8_skip_modules": ["lm_head"],
    }


def read_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rewrite the layers that lie in NF4 among ``tensors``; returns the tensors that are left.

    Raises
    ------
    InputError
        If a weight is quantized in another way, damaged, or of another shape than the layer.
    """
    left = dict(tensors)
    for name, layer in list(model.named_modules()):
        prefix = f"{name}.weight"
        if not isinstance(layer, nn.Linear) or not _is_quantized(prefix, tensors):
            continue
        parts = {
            key.removeprefix(f"{name}."): left.pop(key)
            for key in tensors
            if key == prefix or key.startswith(f"{prefix}.")
        }
        new = read_layer(parts, layer.bias, prefix)
        if (new.out_features, new.in_features) != (layer.out_features, layer.in_features):
            raise InputError(
                f"a weight of shape ({new.out_features}, {new.in_features}) does not fit a layer "
                f"of shape ({layer.out_features}, {layer.in_features})",
                where=prefix,
                fix="check that weights and config.json belong together",
            )
        replace_module(model, name, new)
    return left


def write_layer(layer: NF4Linear) -> dict[str, Tensor]:
    """The tensors of one layer's weight, names beginning with ``weight``."""
    device = layer.packed.device
    state: dict[str, Any] = {
        "quant_type": "nf4",
        "blocksize": nf4.BLOCK,
        "dtype": "float32",
        "shape": [layer.out_features, layer.in_features],
    }
    tensors = {
        "weight": layer.packed[:, None],
        "weight.absmax": layer.absmax,
        "weight.quant_map": torch.tensor(nf4.LEVELS, device=device),
    }
    if layer.nested_absmax is not None and layer.offset is not None:
        tensors["weight.nested_absmax"] = layer.nested_absmax
        tensors["weight.nested_quant_map"] = double_quantization.dynamic_levels().to(device)
        state["nested_blocksize"] = double_quantization.BLOCK
        state["nested_dtype"] = "float32"
        state["nested_offset"] = layer.offset.item()
    text = json.dumps(state).encode()
    tensors[f"weight.{STATE}"] = torch.tensor(list(text), dtype=torch.uint8)
    return tensors


def read_layer(parts: Mapping[str, Tensor], bias: nn.Parameter | None, where: str) -> NF4Linear:
    """The layer of the tensors that :func:`write_layer` or bitsandbytes wrote.

    Raises
    ------
    InputError
        If they are damaged, or in another format than NF4 in blocks of 64.
    """
    state = _state(parts, where)
    is_double = "nested_blocksize" in state
    expected: dict[str, Any] = {"quant_type": "nf4", "blocksize": nf4.BLOCK}
    if is_double:
        expected |= {"nested_blocksize": double_quantization.BLOCK, "nested_dtype": "float32"}
    for key, value in expected.items():
        if state.get(key) != value:
            raise InputError(
                f"'{key}' of a quantized weight is {state.get(key)!r}; known is {value!r}",
                where=where,
                fix="quantize the original model here instead",
            )
    shape = torch.Size(state["shape"])
    blocks = -(-shape.numel() // nf4.BLOCK)
    device = parts["weight"].device
    packed = _part(parts, "weight", -(-shape.numel() // 2), torch.uint8, where)
    scale_type = torch.uint8 if is_double else torch.float32
    absmax = _part(parts, "weight.absmax", blocks, scale_type, where)
    _expect_levels(parts, "weight.quant_map", torch.tensor(nf4.LEVELS, device=device), where)
    if not is_double:
        return NF4Linear(shape, packed, absmax, None, bias)
    levels = double_quantization.dynamic_levels().to(device)
    _expect_levels(parts, "weight.nested_quant_map", levels, where)
    count = -(-blocks // double_quantization.BLOCK)
    nested = _part(parts, "weight.nested_absmax", count, torch.float32, where)
    offset = torch.tensor(float(state["nested_offset"]), device=device)
    return NF4Linear(shape, packed, absmax, (nested, offset), bias)


def _is_quantized(prefix: str, tensors: Mapping[str, Tensor]) -> bool:
    return any(f"{prefix}.{key}" in tensors for key in ("absmax", "quant_map", STATE))


def _state(parts: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    """What the tensor of JSON says, its fields checked for their types."""
    if f"weight.{STATE}" not in parts:
        raise InputError(
            "a quantized weight is not in bitsandbytes' NF4",
            where=where,
            fix="quantize the original model here instead",
        )
    try:
        state = json.loads(bytes(parts[f"weight.{STATE}"].tolist()))
        rows, columns = state["shape"]
        is_usable = type(rows) is type(columns) is int and min(rows, columns) > 0
        if "nested_blocksize" in state:
            is_usable &= type(state["nested_offset"]) is float
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(where, repr(error)) from None
    if not is_usable:
        raise _damaged(where, f"{state}")
    return dict(state)


def _part(
    parts: Mapping[str, Tensor], name: str, count: int, dtype: torch.dtype, where: str
) -> Tensor:
    """A tensor of so many numbers, flat."""
    tensor = parts.get(name)
    if tensor is None or tensor.numel() != count or tensor.dtype != dtype:
        found = "missing" if tensor is None else f"{tensor.numel()} numbers of {tensor.dtype}"
        raise _damaged(where, f"'{name}' should be {count} numbers of {dtype} and is {found}")
    return tensor.reshape(-1)


def _expect_levels(parts: Mapping[str, Tensor], name: str, levels: Tensor, where: str) -> None:
    found = _part(parts, name, levels.numel(), torch.float32, where)
    if not torch.allclose(found, levels, atol=1e-6):
        raise _damaged(where, f"'{name}' holds other numbers than the format's")


def _damaged(where: str, what: str) -> InputError:
    return InputError(
        f"a quantized weight is damaged: {what}", where=where, fix="get the file anew"
    )
