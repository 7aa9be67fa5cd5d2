"""How llama.cpp names and lays out the tensors of a model.

Matrices are (out, in) there, as ours. Two things differ: Llama's queries and keys lie so that
neighbouring features turn together (ours: feature i with i + D/2), and GPT-2's three projections
are one tensor.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from modelwright.models.config import TransformerConfig

EMBEDDING, POSITIONS, HEAD = "token_embd.weight", "position_embd.weight", "output.weight"
FACTORS = "rope_freqs.weight"
"""What rotary frequencies are divided by; no weight of the model."""

_OUTSIDE = {
    "model.embed_tokens.weight": EMBEDDING,
    "model.embed_positions.weight": POSITIONS,
    "model.norm.weight": "output_norm.weight",
    "model.norm.bias": "output_norm.bias",
    "lm_head.weight": HEAD,
}
_IN_BLOCK = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OUTSIDE_BACK = {theirs: ours for ours, theirs in _OUTSIDE.items()}
_IN_BLOCK_BACK = {theirs: ours for ours, theirs in _IN_BLOCK.items()}
_OUR_BLOCK = re.compile(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)")
_THEIR_BLOCK = re.compile(r"blk\.(\d+)\.(.+)\.(weight|bias)")
_PARTS = ("attn_q", "attn_k", "attn_v")
_FUSED = "attn_qkv"


def to_gguf(config: TransformerConfig, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A model's tensors, by our names, as llama.cpp has them."""
    theirs = dict[str, Tensor]()
    for name, tensor in tensors.items():
        block = _OUR_BLOCK.fullmatch(name)
        if block is None:
            theirs[_OUTSIDE[name]] = tensor
            continue
        layer, part, kind = block.groups()
        heads = _turning_heads(config, part)
        laid_out = interleaved(tensor, heads) if heads else tensor
        theirs[f"blk.{layer}.{_IN_BLOCK[part]}.{kind}"] = laid_out
    return _fused(theirs) if config.family == "gpt2" else theirs


def from_gguf(config: TransformerConfig, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The way back."""
    ours = dict[str, Tensor]()
    for name, tensor in _parted(tensors).items():
        block = _THEIR_BLOCK.fullmatch(name)
        if block is None:
            ours[_OUTSIDE_BACK[name]] = tensor
            continue
        layer, part, kind = block[1], _IN_BLOCK_BACK[block[2]], block[3]
        heads = _turning_heads(config, part)
        ours[f"model.layers.{layer}.{part}.{kind}"] = halved(tensor, heads) if heads else tensor
    return ours


def interleaved(tensor: Tensor, heads: int) -> Tensor:
    """Rows (heads · D, …) from halves (i turns with i + D/2) to pairs (2i turns with 2i + 1)."""
    halves = tensor.reshape(heads, 2, -1, *tensor.shape[1:])
    return halves.transpose(1, 2).reshape(tensor.shape).contiguous()


def halved(tensor: Tensor, heads: int) -> Tensor:
    """The inverse of :func:`interleaved`."""
    pairs = tensor.reshape(heads, -1, 2, *tensor.shape[1:])
    return pairs.transpose(1, 2).reshape(tensor.shape).contiguous()


def _turning_heads(config: TransformerConfig, part: str) -> int:
    """How many heads' rows are turned in another order there; 0 if none are."""
    if config.family != "llama":
        return 0
    heads = {
        "self_attn.q_proj": config.num_attention_heads,
        "self_attn.k_proj": config.num_key_value_heads,
    }
    return heads.get(part, 0)


def _fused(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values of a layer in one tensor."""
    fused = dict[str, Tensor]()
    for name, tensor in tensors.items():
        part = name.split(".")[2] if name.startswith("blk.") else ""
        if part == _PARTS[0]:
            parts = [tensors[name.replace(part, other)] for other in _PARTS]
            fused[name.replace(part, _FUSED)] = torch.cat(parts)
        elif part not in _PARTS:
            fused[name] = tensor
    return fused


def _parted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`_fused`."""
    parted = dict[str, Tensor]()
    for name, tensor in tensors.items():
        if f".{_FUSED}." not in name:
            parted[name] = tensor
            continue
        for part, piece in zip(_PARTS, tensor.chunk(3), strict=True):
            parted[name.replace(_FUSED, part)] = piece
    return parted
