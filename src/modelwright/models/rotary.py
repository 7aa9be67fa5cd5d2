"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864) and its scaling.

The layout is Hugging Face's: feature i turns with feature i + D/2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from modelwright.models.config import RopeScaling, TransformerConfig


def rotary_tables(config: TransformerConfig) -> tuple[Tensor, Tensor]:
    """Cosines and sines (max_position_embeddings, D), fp32."""
    by_pair = frequencies(config)  # (D/2,)
    angles = torch.arange(config.max_position_embeddings).float()[:, None] * by_pair[None, :]
    angles = torch.cat([angles, angles], dim=-1)
    scale = _attention_factor(config.rope_scaling)
    return angles.cos() * scale, angles.sin() * scale


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn queries or keys (B, heads, T, D) by their positions' angles."""
    first, second = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat([-second, first], dim=-1) * sin.to(x.dtype)


def frequencies(config: TransformerConfig) -> Tensor:
    """Radians for each position, by pair of features (D/2,)."""
    dim = config.head_dim
    exponents = torch.arange(0, dim, 2, dtype=torch.int64).float() / dim
    plain = 1.0 / (config.rope_theta**exponents)
    scaling = config.rope_scaling
    if scaling is None or scaling.kind == "dynamic":
        # Dynamic scaling changes nothing up to max_position_embeddings, and we stop there.
        return plain
    if scaling.kind == "linear":
        return plain / scaling.factor
    context = scaling.original_max_position_embeddings or config.max_position_embeddings
    if scaling.kind == "llama3":
        return _llama3(plain, scaling, context)
    return _yarn(plain, scaling, context, config.rope_theta)


def _llama3(plain: Tensor, scaling: RopeScaling, context: int) -> Tensor:
    """Long waves stretched, short ones kept, those between mixed (Llama 3.1's release)."""
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    waves_in_context = context * plain / (2 * math.pi)
    kept = ((waves_in_context - low) / (high - low)).clamp(0, 1)
    return kept * plain + (1 - kept) * plain / scaling.factor


def _yarn(plain: Tensor, scaling: RopeScaling, context: int, theta: float) -> Tensor:
    """Interpolation by parts (Peng et al. 2023, arXiv:2309.00071, section 3.2)."""
    half = len(plain)

    def feature_with(rotations: float) -> float:
        """Which feature turns so often in the original context."""
        return half * math.log(context / (rotations * 2 * math.pi)) / math.log(theta)

    low, high = feature_with(scaling.beta_fast), feature_with(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * half - 1)
    width = high - low or 0.001  # one limit for both: a step
    stretched = ((torch.arange(half).float() - low) / width).clamp(0, 1)
    return stretched * plain / scaling.factor + (1 - stretched) * plain


def _attention_factor(scaling: RopeScaling | None) -> float:
    """What cosines and sines are multiplied by (YaRN, section 3.4)."""
    if scaling is None or scaling.kind != "yarn":
        return 1.0
    if scaling.attention_factor is not None:
        return scaling.attention_factor

    def grown(weight: float) -> float:
        return 1.0 + (0.1 * weight * math.log(scaling.factor) if scaling.factor > 1 else 0.0)

    if scaling.mscale and scaling.mscale_all_dim:
        return grown(scaling.mscale) / grown(scaling.mscale_all_dim)
    return grown(1.0)
