"""Llama (Touvron et al. 2023, arXiv:2302.13971) and what followed it; its names are ours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelwright.core.errors import InputError
from modelwright.models.config import TransformerConfig
from modelwright.models.families.config_reader import ConfigReader
from modelwright.models.families.family import Family
from modelwright.models.families.rotary_decoder import (
    as_they_are,
    read_common,
    without_frequencies,
    write_common,
)


def shape(sizes: TransformerConfig) -> TransformerConfig:
    """As Qwen3, with biases where asked for and heads that are not normalised.

    Raises
    ------
    InputError
        If ``transformers`` would not open such sizes.
    """
    if sizes.hidden_size % sizes.num_attention_heads:
        raise InputError(
            f"a Llama's {sizes.num_attention_heads} attention heads must divide its hidden_size, "
            f"{sizes.hidden_size}",
            fix="choose another number of heads, or the family qwen3",
        )
    if sizes.sliding_layers:
        raise InputError("Llama has no sliding windows", fix="use the family qwen3")
    return replace(
        sizes,
        family="llama",
        norm="rms",
        positions="rotary",
        feed_forward="swiglu",
        query_key_norm=False,
        initial_std=None,
    )


def _read_config(read: ConfigReader) -> TransformerConfig:
    heads = read.size("num_attention_heads")
    head_dim = max(read.size("hidden_size") // heads, 1)
    common = read_common(read, head_dim=head_dim, num_key_value_heads=heads)
    return shape(replace(common, feed_forward_bias=read.switch("mlp_bias")))


def _write_config(config: TransformerConfig) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **write_common(config),
        "mlp_bias": config.feed_forward_bias,
    }


FAMILY = Family(shape, _read_config, _write_config, without_frequencies, as_they_are)
