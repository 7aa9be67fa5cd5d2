"""Qwen3 (technical report, arXiv:2505.09388), the default: our config and names are its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelwright.models.config import TransformerConfig
from modelwright.models.families.config_reader import ConfigReader
from modelwright.models.families.family import Family
from modelwright.models.families.rotary_decoder import (
    as_they_are,
    read_common,
    without_frequencies,
    write_common,
)

SLIDING, FULL = "sliding_attention", "full_attention"


def shape(sizes: TransformerConfig) -> TransformerConfig:
    """Heads normalised, RMSNorm, SwiGLU, rotary positions, no biases in the feed-forward."""
    return replace(
        sizes,
        family="qwen3",
        norm="rms",
        positions="rotary",
        feed_forward="swiglu",
        feed_forward_bias=False,
        query_key_norm=True,
        initial_std=None,
    )


def _read_config(read: ConfigReader) -> TransformerConfig:
    config = shape(read_common(read, head_dim=128, num_key_value_heads=None))
    if not read.switch("use_sliding_window"):
        return config
    layers = _sliding_layers(read, config.num_hidden_layers)
    window = read.size("sliding_window") if layers else None
    return replace(config, sliding_window=window, sliding_layers=layers)


def _sliding_layers(read: ConfigReader, layers: int) -> tuple[int, ...]:
    """By name of each layer's kind, or, in older files, all from ``max_window_layers`` on."""
    kinds = read.config.get("layer_types")
    if kinds is None:
        first = read.config.get("max_window_layers", 28)
        if first != 0:
            first = read.size("max_window_layers", 28)
        return tuple(range(first, layers))
    if not isinstance(kinds, list) or len(kinds) != layers:
        raise read.wrong("layer_types", f"is no list of {layers} layers")
    unknown = [kind for kind in kinds if kind not in (SLIDING, FULL)]
    if unknown:
        raise read.wrong("layer_types", f"has {unknown[0]!r}, which is not known here")
    return tuple(index for index, kind in enumerate(kinds) if kind == SLIDING)


def _write_config(config: TransformerConfig) -> dict[str, Any]:
    content = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        **write_common(config),
        "use_sliding_window": bool(config.sliding_layers),
    }
    if config.sliding_layers:
        content |= {
            "sliding_window": config.sliding_window,
            "max_window_layers": min(config.sliding_layers),
            "layer_types": [
                SLIDING if config.window(layer) else FULL
                for layer in range(config.num_hidden_layers)
            ],
        }
    return content


FAMILY = Family(shape, _read_config, _write_config, without_frequencies, as_they_are)
