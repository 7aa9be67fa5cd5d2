"""Rotary positions in ``config.json``.

Since version 5 ``transformers`` keeps all of it in ``rope_parameters``; before, ``rope_theta``
stood alone and ``rope_scaling`` beside it.
"""

from __future__ import annotations

from typing import Any, get_args

from modelwright.models.config import RopeScaling, RopeScalingKind, TransformerConfig
from modelwright.models.families.config_reader import ConfigReader

_YARN_ONLY = ("attention_factor", "mscale", "mscale_all_dim")


def read_rope_theta(read: ConfigReader) -> float:
    """The base of the frequencies, from either place."""
    rope = read.part("rope_parameters")
    place = rope if rope.config.get("rope_theta") is not None else read
    return place.constant("rope_theta", 10_000.0)


def read_rope_scaling(read: ConfigReader) -> RopeScaling | None:
    """The scaling, from either place.

    Raises
    ------
    InputError
        If it is of a kind that is not known here, or lacks a value.
    """
    old, new = read.part("rope_scaling"), read.part("rope_parameters")
    rope = old if old.config else new
    for place in (rope, read):
        place.expect("partial_rotary_factor", [1])
    asked = rope.config.get("rope_type") or rope.config.get("type") or "default"
    if asked == "default":
        return None
    kinds: tuple[RopeScalingKind, ...] = get_args(RopeScalingKind)
    for kind in kinds:
        if kind == asked:
            return _scaling(kind, rope, read)
    problem = f"asks for {asked!r}; known are default, {', '.join(kinds)}"
    raise read.wrong("rope_scaling" if old.config else "rope_parameters", problem)


def _scaling(kind: RopeScalingKind, rope: ConfigReader, read: ConfigReader) -> RopeScaling:
    if kind in ("linear", "dynamic"):
        return RopeScaling(kind, rope.constant("factor"))
    longest = read.size("max_position_embeddings")
    outside = read.config.get("original_max_position_embeddings") is not None
    original = (read if outside else rope).size("original_max_position_embeddings", longest)
    if kind == "llama3":
        low, high = rope.constant("low_freq_factor"), rope.constant("high_freq_factor")
        if low >= high:
            raise rope.wrong("high_freq_factor", "is not above low_freq_factor")
        return RopeScaling(kind, rope.constant("factor"), original, low, high)
    return RopeScaling(
        kind,
        rope.constant("factor", longest / original),
        original,
        beta_fast=rope.constant("beta_fast", 32.0),
        beta_slow=rope.constant("beta_slow", 1.0),
        attention_factor=rope.optional_constant("attention_factor"),
        mscale=rope.optional_constant("mscale"),
        mscale_all_dim=rope.optional_constant("mscale_all_dim"),
        truncate=rope.switch("truncate", True),
    )


def write_rope(config: TransformerConfig) -> dict[str, Any]:
    """Both forms, for readers before and after version 5."""
    scaling = _scaling_content(config.rope_scaling)
    content: dict[str, Any] = {
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta, **scaling},
    }
    if scaling:
        content["rope_scaling"] = scaling
    return content


def _scaling_content(scaling: RopeScaling | None) -> dict[str, Any]:
    if scaling is None:
        return {}
    content: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.original_max_position_embeddings is not None:
        content["original_max_position_embeddings"] = scaling.original_max_position_embeddings
    if scaling.kind == "llama3":
        content["low_freq_factor"] = scaling.low_freq_factor
        content["high_freq_factor"] = scaling.high_freq_factor
    if scaling.kind == "yarn":
        content |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow}
        content |= {
            name: getattr(scaling, name)
            for name in _YARN_ONLY
            if getattr(scaling, name) is not None
        }
        content["truncate"] = scaling.truncate
    return content
