"""What Qwen3's and Llama's ``config.json`` have in common: their tensors have our names, too."""

from __future__ import annotations

import re
from typing import Any

from modelwright.models.config import TransformerConfig
from modelwright.models.families.config_reader import ConfigReader
from modelwright.models.families.family import Tensors, written_for_all
from modelwright.models.families.rope_parameters import (
    read_rope_scaling,
    read_rope_theta,
    write_rope,
)

_TABLE_OF_FREQUENCIES = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")


def read_common(
    read: ConfigReader, *, head_dim: int, num_key_value_heads: int | None
) -> TransformerConfig:
    """Sizes, constants, positions and tokens; the arguments are for where they are missing.

    Raises
    ------
    InputError
        If a size is missing, or a value is of a wrong type.
    """
    read.expect("hidden_act", ["silu", "swish"])
    return TransformerConfig(
        vocab_size=read.size("vocab_size"),
        hidden_size=read.size("hidden_size"),
        intermediate_size=read.size("intermediate_size"),
        num_hidden_layers=read.size("num_hidden_layers"),
        num_attention_heads=read.size("num_attention_heads"),
        num_key_value_heads=read.size("num_key_value_heads", num_key_value_heads),
        head_dim=read.size("head_dim", head_dim),
        max_position_embeddings=read.size("max_position_embeddings"),
        norm_eps=read.constant("rms_norm_eps", 1e-6),
        rope_theta=read_rope_theta(read),
        rope_scaling=read_rope_scaling(read),
        tie_word_embeddings=read.switch("tie_word_embeddings"),
        attention_bias=read.switch("attention_bias"),
        bos_token_id=read.token("bos_token_id"),
        eos_token_id=read.token("eos_token_id"),
        pad_token_id=read.token("pad_token_id"),
    )


def write_common(config: TransformerConfig) -> dict[str, Any]:
    """The same fields for ``config.json``."""
    return {
        **written_for_all(config),
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": config.norm_eps,
        **write_rope(config),
        "hidden_act": "silu",
        "attention_bias": config.attention_bias,
        "attention_dropout": 0.0,
    }


def without_frequencies(tensors: Tensors) -> Tensors:
    """The tensors without the tables of rotary frequencies that old checkpoints hold."""
    return {
        name: tensor
        for name, tensor in tensors.items()
        if not _TABLE_OF_FREQUENCIES.fullmatch(name)
    }


def as_they_are(tensors: Tensors) -> Tensors:
    """Our names are theirs."""
    return tensors
