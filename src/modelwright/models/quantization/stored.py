"""Quantized models on disk: which format a ``config.json`` names, and its tensors.

Int8 and int4 are stored as compressed-tensors does, NF4 as bitsandbytes does, so that other tools
open the folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from modelwright.core.errors import InputError
from modelwright.models.quantization import bitsandbytes_format, compressed_tensors_format
from modelwright.models.quantization.base import quantized_layers
from modelwright.models.quantization.int4 import Int4Linear
from modelwright.models.quantization.int8 import Int8Linear
from modelwright.models.quantization.nf4_linear import NF4Linear

CONFIG_KEY = "quantization_config"


def read_quantized(
    model: nn.Module, tensors: dict[str, Tensor], config: Any, where: str
) -> dict[str, Tensor]:
    """Rewrite the layers of a new model that ``tensors`` hold in few bits.

    Parameters
    ----------
    model : nn.Module
        Changed in place.
    tensors : dict
        The stored tensors by our names.
    config : Any
        ``quantization_config`` of ``config.json``; None where there is none.
    where : str
        The folder, for messages.

    Returns
    -------
    dict
        The tensors that are left.

    Raises
    ------
    InputError
        If the format is not known here, or the tensors are damaged.
    """
    if config is None:
        return tensors
    method = config.get("quant_method") if isinstance(config, dict) else None
    if method == compressed_tensors_format.METHOD:
        return compressed_tensors_format.read_tensors(model, tensors, config, where)
    if method == bitsandbytes_format.METHOD and not config.get("load_in_8bit"):
        return bitsandbytes_format.read_tensors(model, tensors)
    raise InputError(
        f"models that are quantized with {method!r} are not known here",
        where=where,
        fix="known are compressed-tensors (integers of 4 or 8 bits) and bitsandbytes (NF4); "
        "quantize the original model here instead",
    )


def own_tensors(model: nn.Module) -> set[str]:
    """Names in the model's state of what its quantized layers keep instead of a weight."""
    return {
        f"{name}.{key}"
        for name, layer in quantized_layers(model)
        for key, _ in layer.named_buffers()
    }


def write_quantized(
    model: nn.Module, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """The model's tensors as they are stored, and what ``config.json`` says of them.

    Parameters
    ----------
    model : nn.Module
        Quantized or not.
    tensors : mapping of str to Tensor
        Its state, on the CPU.

    Returns
    -------
    tensors : dict
        Those of quantized layers under the format's names.
    config : dict or None
        None where no layer is quantized.

    Raises
    ------
    InputError
        If layers are quantized in several ways, which a folder cannot say.
    """
    layers = dict(quantized_layers(model))
    if not layers:
        return dict(tensors), None
    if len({type(layer) for layer in layers.values()}) > 1:
        raise InputError("layers that are quantized in several ways cannot be stored together")
    own = own_tensors(model)
    kept = {name: tensor for name, tensor in tensors.items() if name not in own}
    nf4 = {name: one for name, one in layers.items() if isinstance(one, NF4Linear)}
    integers = {
        name: one for name, one in layers.items() if isinstance(one, Int8Linear | Int4Linear)
    }
    for name, layer in nf4.items():
        kept |= _named(name, bitsandbytes_format.write_layer(layer))
    for name, integer in integers.items():
        kept |= _named(name, compressed_tensors_format.write_layer(integer))
    if nf4:
        is_double = any(layer.nested_absmax is not None for layer in nf4.values())
        return kept, bitsandbytes_format.write_config(is_double)
    return kept, compressed_tensors_format.write_config(integers)


def _named(layer: str, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{layer}.{key}": tensor.cpu().contiguous() for key, tensor in parts.items()}
