"""Writing a model as a GGUF file, for llama.cpp and what is built on it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from modelwright.core.errors import InputError, MissingExtraError
from modelwright.export.gguf_layout import EMBEDDING, FACTORS, HEAD, POSITIONS, to_gguf
from modelwright.export.gguf_tokenizer import GGUFVocabulary
from modelwright.models.config import RopeScaling, TransformerConfig
from modelwright.models.rotary import frequencies

if TYPE_CHECKING:
    from gguf import GGUFWriter

BLOCK = 32
"""Neighbouring weights of a row that share a scale in the quantized types."""

_FILE_TYPES = {
    "f32": 0,
    "f16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q8_0": 7,
    "q5_0": 8,
    "q5_1": 9,
    "bf16": 32,
}
"""``gguf.LlamaFileType`` by type."""

_QUANTIZATION_VERSION = 2
"""Of the layout of quantized blocks (``gguf.GGML_QUANT_VERSION``)."""


@dataclass(frozen=True)
class Described:
    """What a file says of itself.

    Attributes
    ----------
    name : str
        The model's.
    licences : list of str
        SPDX.
    """

    name: str
    licences: list[str]


def check_gguf(config: TransformerConfig, types: list[str]) -> None:
    """Refuse what llama.cpp would not read, or would read as something else.

    Raises
    ------
    InputError
        With what to do.
    """
    refused = _refusals(config)
    if refused:
        raise InputError(
            f"llama.cpp cannot hold this model: {'; '.join(refused)}",
            fix="export it to safetensors or onnx",
        )
    quantized = [one for one in types if one.startswith("q")]
    widths = {
        "hidden_size": config.hidden_size,
        "the heads together": config.num_attention_heads * config.head_dim,
        "intermediate_size": config.intermediate_size,
    }
    for name, width in widths.items():
        if quantized and width % BLOCK:
            raise InputError(
                f"{quantized[0]} keeps {BLOCK} neighbouring weights in a block, and {name} of this "
                f"model is {width}, no multiple of {BLOCK}",
                fix="export it as f16, or train a model with another width",
            )


def write_gguf(
    config: TransformerConfig,
    tensors: dict[str, Tensor],
    vocabulary: GGUFVocabulary,
    type: str,
    path: Path,
    described: Described,
) -> None:
    """Write a GGUF file.

    Parameters
    ----------
    config : TransformerConfig
        The model's shape, which :func:`check_gguf` has let through.
    tensors : dict of str to Tensor
        Its fp32 tensors by our names, tied ones once.
    vocabulary : GGUFVocabulary
        Its tokenizer.
    type : str
        Number format of the matrices: a key of ``gguf``'s types in lower case.
    path : Path
        The file.
    described : Described
        Name and licences.

    Raises
    ------
    InputError
        If a weight is too large for the format.
    MissingExtraError
        Without the package ``gguf``.
    """
    gguf = import_gguf()
    writer = gguf.GGUFWriter(path, config.family)
    writer.add_name(described.name)
    if described.licences:
        each = [f"({one})" if " OR " in one else one for one in described.licences]
        writer.add_license(" AND ".join(each))
    writer.add_file_type(_FILE_TYPES[type])
    if type.startswith("q"):
        writer.add_quantization_version(_QUANTIZATION_VERSION)
    _add_shape(writer, config)
    _add_tokenizer(writer, vocabulary)
    for name, tensor in to_gguf(config, tensors).items():
        stored = gguf.GGMLQuantizationType[type_of(name, tensor, type).upper()]
        with np.errstate(over="ignore"):  # said below
            array = gguf.quantize(tensor.numpy(), stored)
        if array.dtype == np.float16 and not np.isfinite(array).all():
            raise InputError(f"'{name}' has weights that f16 cannot hold", fix="export it as bf16")
        writer.add_tensor(name, array, raw_dtype=stored)
    if _has_factors(config):
        writer.add_tensor(FACTORS, _factors(config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def type_of(name: str, tensor: Tensor, type: str) -> str:
    """The format of one tensor in a file of that type.

    Vectors and positions take no room and stay as they are. Below 8 bits embedding and head keep
    8: in small models they are most of the weights that a token meets.
    """
    if tensor.dim() == 1 or name == POSITIONS:
        return "f32"
    if type.startswith("q") and name in (EMBEDDING, HEAD):
        return "q8_0"
    return type


def import_gguf() -> ModuleType:
    """The package.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        return importlib.import_module("gguf")
    except ImportError:
        raise MissingExtraError("gguf", "export") from None


def _refusals(config: TransformerConfig) -> list[str]:
    """What of a model llama.cpp lacks."""
    refused = list[str]()
    if config.family == "qwen3" and config.attention_bias:
        refused.append("its Qwen3 has no biases in the attention")
    if config.sliding_layers:
        refused.append("its Qwen3 has no sliding windows")
    scaling = config.rope_scaling
    if scaling is not None and scaling.kind == "llama3" and config.family != "llama":
        refused.append("it scales rotary positions as Llama 3 does for Llama only")
    if scaling is not None and scaling.kind == "yarn" and _is_unusual(scaling):
        refused.append("YaRN has its usual factors and limits in all that is built on it")
    return refused


def _is_unusual(yarn: RopeScaling) -> bool:
    if (yarn.beta_fast, yarn.beta_slow) != (32.0, 1.0):
        return True  # a file can say them, but llama-cpp-python, for one, does not listen
    given = (yarn.attention_factor, yarn.mscale, yarn.mscale_all_dim)
    return not yarn.truncate or any(one is not None for one in given)


def _add_shape(writer: GGUFWriter, config: TransformerConfig) -> None:
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    if config.norm == "layer":
        writer.add_layer_norm_eps(config.norm_eps)
    else:
        writer.add_layer_norm_rms_eps(config.norm_eps)
    if config.positions == "rotary":
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_rope_freq_base(config.rope_theta)
    if config.rope_scaling is not None:
        _add_scaling(writer, config.rope_scaling, config.max_position_embeddings)


def _add_scaling(writer: GGUFWriter, scaling: RopeScaling, context: int) -> None:
    """Linear and YaRN by name; dynamic changes nothing up to the context, Llama 3 has a tensor."""
    from gguf import RopeScalingType

    if scaling.kind == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(scaling.factor)
    elif scaling.kind == "yarn":
        writer.add_rope_scaling_type(RopeScalingType.YARN)
        writer.add_rope_scaling_factor(scaling.factor)
        original = scaling.original_max_position_embeddings or context
        writer.add_rope_scaling_orig_ctx_len(original)


def _has_factors(config: TransformerConfig) -> bool:
    return config.rope_scaling is not None and config.rope_scaling.kind == "llama3"


def _factors(config: TransformerConfig) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """What llama.cpp divides the plain frequencies by, (D/2,) float32."""
    plain = frequencies(replace(config, rope_scaling=None))
    factors: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = (
        plain / frequencies(config)
    ).numpy()
    return factors


def _add_tokenizer(writer: GGUFWriter, vocabulary: GGUFVocabulary) -> None:
    writer.add_tokenizer_model("gpt2")  # any byte-level BPE
    writer.add_tokenizer_pre(vocabulary.splitter)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    writer.add_token_merges(vocabulary.merges)
    if vocabulary.begin is not None:
        writer.add_bos_token_id(vocabulary.begin)
    if vocabulary.end is not None:
        writer.add_eos_token_id(vocabulary.end)
        writer.add_eot_token_id(vocabulary.end)
    if vocabulary.pad is not None:
        writer.add_pad_token_id(vocabulary.pad)
    # Said in any case: some splitters switch it on where a file says nothing.
    writer.add_add_bos_token(vocabulary.adds_begin)
    writer.add_add_eos_token(False)
    writer.add_chat_template(vocabulary.template)
