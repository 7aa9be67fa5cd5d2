"""A Hugging Face folder that old and new readers take: ``transformers``, vLLM, SGLang."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modelwright.core.errors import InputError
from modelwright.core.files import write_json, write_text
from modelwright.models.config import TransformerConfig
from modelwright.models.families.table import family_named
from modelwright.models.pretrained import CONFIG, GENERATION_CONFIG, WEIGHTS, save_tensors
from modelwright.tokens.chat_template import END_OF_TEXT
from modelwright.tokens.files import TEMPLATE, TOKENIZER, TOKENIZER_CONFIG
from modelwright.tokens.tokenizer import END, START, Tokenizer

VLLM_HEAD_WIDTHS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256)
"""Widths of a head for which vLLM has attention on every device."""

_DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def check_vllm(config: TransformerConfig) -> None:
    """Refuse what vLLM does not load.

    Raises
    ------
    InputError
        With what to do.
    """
    if config.head_dim not in VLLM_HEAD_WIDTHS:
        raise InputError(
            f"vLLM has no attention for heads of {config.head_dim}",
            fix=f"train a model with heads of {', '.join(map(str, VLLM_HEAD_WIDTHS))}",
        )
    scaling = config.rope_scaling
    if scaling is not None and scaling.kind == "dynamic":
        raise InputError(
            "vLLM scales rotary positions dynamically in another way",
            fix="export it to safetensors",
        )


def write_folder(
    config: TransformerConfig,
    tensors: dict[str, Tensor],
    tokenizer: Tokenizer,
    source: Path,
    type: str,
    folder: Path,
) -> None:
    """Write ``config.json``, ``generation_config.json``, ``model.safetensors`` and the tokenizer.

    Parameters
    ----------
    config : TransformerConfig
        The model's shape.
    tensors : dict of str to Tensor
        Its fp32 tensors by our names, tied ones once.
    tokenizer : Tokenizer
        Its tokenizer.
    source : Path
        The folder that the tokenizer lies in.
    type : {"f32", "f16", "bf16"}
        Number format of all weights.
    folder : Path
        Where to.

    Raises
    ------
    InputError
        If a weight is too large for the format.
    """
    family, dtype = family_named(config.family), _DTYPES[type]
    name = str(dtype).removeprefix("torch.")
    write_json(folder / CONFIG, family.write_config(config) | {"dtype": name, "torch_dtype": name})
    write_json(folder / GENERATION_CONFIG, _generation_config(config, tokenizer))
    cast = {key: tensor.to(dtype) for key, tensor in family.to_their_names(tensors).items()}
    for key, tensor in cast.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"'{key}' has weights that {type} cannot hold", fix="use bf16")
    save_tensors(cast, folder / WEIGHTS)
    write_tokenizer(config, tokenizer, source, folder)


def write_tokenizer(
    config: TransformerConfig, tokenizer: Tokenizer, source: Path, folder: Path
) -> None:
    """Write the tokenizer's files: as they are but for the settings, which are written anew.

    The class is the one that every version of ``transformers`` has, and the template stands in the
    settings and in a file of its own: older versions look into the one, newer into the other.
    """
    write_text(folder / TOKENIZER, (source / TOKENIZER).read_text(encoding="utf-8"))
    write_text(folder / TEMPLATE, tokenizer.template)
    given = _settings(source)
    pad = END_OF_TEXT if END_OF_TEXT in tokenizer.special_tokens else None
    written: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        END: tokenizer.chat_format.stop,
        START: tokenizer.named.get(START),
        "pad_token": pad or tokenizer.named.get(END),
        "additional_special_tokens": [
            token for token, id in tokenizer.special_tokens.items() if not tokenizer.token_bytes(id)
        ],
        "add_bos_token": given.get("add_bos_token", False),
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": config.max_position_embeddings,
        "chat_template": tokenizer.template,
    }
    content = {key: value for key, value in written.items() if value is not None}
    write_json(folder / TOKENIZER_CONFIG, content)


def _settings(source: Path) -> dict[str, Any]:
    path = source / TOKENIZER_CONFIG
    if not path.is_file():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))  # read once already
    return content


def _generation_config(config: TransformerConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    """Where to stop: at the end of an answer or of a text."""
    special, stop = tokenizer.special_tokens, tokenizer.chat_format.stop
    named = [special[one] for one in (stop, END_OF_TEXT) if one in special]
    ends = list(dict.fromkeys(one for one in (config.eos_token_id, *named) if one is not None))
    written = {
        "bos_token_id": config.bos_token_id,
        "eos_token_id": ends or None,
        "pad_token_id": config.pad_token_id,
    }
    return {key: value for key, value in written.items() if value is not None}
