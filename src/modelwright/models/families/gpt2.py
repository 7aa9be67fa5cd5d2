"""GPT-2 (Radford et al. 2019): other names, and matrices stored as (in, out).

Queries, keys and values lie in one tensor there. Its dropout is not built here; folders are
written with dropout 0.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from modelwright.core.errors import InputError
from modelwright.models.config import TransformerConfig
from modelwright.models.families.config_reader import ConfigReader
from modelwright.models.families.family import Family, Tensors, written_for_all

_OUTSIDE = {
    "model.embed_tokens.weight": "transformer.wte.weight",
    "model.embed_positions.weight": "transformer.wpe.weight",
    "model.norm.weight": "transformer.ln_f.weight",
    "model.norm.bias": "transformer.ln_f.bias",
    "lm_head.weight": "lm_head.weight",
}
_IN_BLOCK = {
    "input_layernorm": "ln_1",
    "self_attn.o_proj": "attn.c_proj",
    "post_attention_layernorm": "ln_2",
    "mlp.up_proj": "mlp.c_fc",
    "mlp.down_proj": "mlp.c_proj",
}
_OUTSIDE_BACK = {theirs: ours for ours, theirs in _OUTSIDE.items()}
_IN_BLOCK_BACK = {theirs: ours for ours, theirs in _IN_BLOCK.items()}
_PROJECTIONS = ("q_proj", "k_proj", "v_proj")

_OUR_BLOCK = re.compile(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)")
_THEIR_BLOCK = re.compile(r"transformer\.h\.(\d+)\.(.+)\.(weight|bias)")
_CAUSAL_MASK = re.compile(r"transformer\.h\.\d+\.attn\.(masked_)?bias")


def shape(sizes: TransformerConfig) -> TransformerConfig:
    """LayerNorm, learned positions, GELU, biases everywhere, matrices of N(0, 0.02).

    Raises
    ------
    InputError
        If GPT-2 has no such sizes.
    """
    heads, width = sizes.num_attention_heads, sizes.hidden_size
    if sizes.num_key_value_heads != heads or sizes.head_dim * heads != width:
        raise InputError(
            "GPT-2 has as many key/value heads as query heads, and together they are as wide as "
            f"the model: {heads} heads of {sizes.head_dim} with {sizes.num_key_value_heads} "
            f"key/value heads do not make {width}",
            fix="set num_key_value_heads = num_attention_heads and head_dim = width / heads",
        )
    if sizes.rope_scaling or sizes.sliding_layers:
        raise InputError("GPT-2 has neither rotary positions to scale nor sliding windows")
    return replace(
        sizes,
        family="gpt2",
        rope_theta=10_000.0,  # of no meaning here, so always the same
        norm="layer",
        positions="learned",
        feed_forward="gelu",
        attention_bias=True,
        feed_forward_bias=True,
        query_key_norm=False,
        initial_std=0.02,
    )


def _read_config(read: ConfigReader) -> TransformerConfig:
    read.expect("activation_function", ["gelu_new", "gelu_pytorch_tanh"])
    read.expect("scale_attn_weights", [True])
    read.expect("scale_attn_by_inverse_layer_idx", [False])
    read.expect("add_cross_attention", [False])
    width, heads = read.size("n_embd", 768), read.size("n_head", 12)
    return shape(
        TransformerConfig(
            vocab_size=read.size("vocab_size"),
            hidden_size=width,
            intermediate_size=read.size("n_inner", 4 * width),
            num_hidden_layers=read.size("n_layer", 12),
            num_attention_heads=heads,
            num_key_value_heads=heads,
            head_dim=width // heads,
            max_position_embeddings=read.size("n_positions", 1024),
            norm_eps=read.constant("layer_norm_epsilon", 1e-5),
            tie_word_embeddings=read.switch("tie_word_embeddings", True),
            bos_token_id=read.token("bos_token_id"),
            eos_token_id=read.token("eos_token_id"),
            pad_token_id=read.token("pad_token_id"),
            positions="learned",
        )
    )


def _write_config(config: TransformerConfig) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        **written_for_all(config),
        "n_embd": config.hidden_size,
        "n_inner": config.intermediate_size,
        "n_layer": config.num_hidden_layers,
        "n_head": config.num_attention_heads,
        "n_positions": config.max_position_embeddings,
        "layer_norm_epsilon": config.norm_eps,
        "activation_function": "gelu_new",
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    }


def _to_our_names(tensors: Tensors) -> Tensors:
    """Unknown names stay, for the check of shapes to report."""
    ours = Tensors()
    for name, tensor in tensors.items():
        # The first released checkpoints hold the model without its head, and their names begin
        # inside of it.
        full = name if name.startswith(("transformer.", "lm_head.")) else f"transformer.{name}"
        block = _THEIR_BLOCK.fullmatch(full)
        if _CAUSAL_MASK.fullmatch(full):
            continue
        if full in _OUTSIDE_BACK:
            ours[_OUTSIDE_BACK[full]] = tensor
        elif block is None:
            ours[name] = tensor
        elif block[2] == "attn.c_attn" and tensor.dim() > 0:
            parts = _turned(tensor).chunk(3)  # fewer than 3 are reported as missing
            for projection, part in zip(_PROJECTIONS, parts, strict=False):
                ours[f"model.layers.{block[1]}.self_attn.{projection}.{block[3]}"] = part
        elif block[2] in _IN_BLOCK_BACK:
            part_of_block = _IN_BLOCK_BACK[block[2]]
            ours[f"model.layers.{block[1]}.{part_of_block}.{block[3]}"] = _turned(tensor)
        else:
            ours[name] = tensor
    return ours


def _to_their_names(tensors: Tensors) -> Tensors:
    theirs = Tensors()
    for name, tensor in tensors.items():
        block = _OUR_BLOCK.fullmatch(name)
        if block is None:
            theirs[_OUTSIDE[name]] = tensor
            continue
        layer, part, kind = block.groups()
        if part in _IN_BLOCK:
            theirs[f"transformer.h.{layer}.{_IN_BLOCK[part]}.{kind}"] = _turned(tensor)
        elif part == "self_attn.q_proj":
            fused = [tensors[name.replace("q_proj", projection)] for projection in _PROJECTIONS]
            theirs[f"transformer.h.{layer}.attn.c_attn.{kind}"] = _turned(torch.cat(fused))
    return theirs


def _turned(tensor: Tensor) -> Tensor:
    """A matrix between (out, in) and (in, out); a vector stays."""
    return tensor.t().contiguous() if tensor.dim() == 2 else tensor


FAMILY = Family(shape, _read_config, _write_config, _to_our_names, _to_their_names)
