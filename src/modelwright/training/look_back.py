"""Previous-token heads in a new model: first attention that looks a fixed distance back.

A new model's attention spreads evenly over what came before, and a short training ends before it
has found that the last few tokens matter most. Here a few heads begin with queries and keys that
depend on positions alone: rotated (Su et al. 2021, arXiv:2104.09864), they agree at one distance.
Models with a shift of tokens have this built in (Peng et al. 2023, arXiv:2305.13048); this one
keeps its shape, and training may turn the heads to anything else.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modelwright.models.attention import Attention
from modelwright.models.rotary import frequencies
from modelwright.models.transformer import Block, CausalLM

LAYERS = 2
"""The first blocks of a model, in which heads look back."""

HEADS = 2
"""How many heads of each do at least: all that share the keys of these do, too."""

CONTENT = 0.3
"""What is left in these heads of the weights that make queries and keys depend on the tokens."""

RIDGE = 0.01
"""Beside the mean square of a feature, which is 1, so that few tokens do not make it singular."""


@torch.no_grad()
def look_back(model: CausalLM, counts: npt.NDArray[np.int64]) -> None:
    """Turn some heads of a new model to distances 1, 2, 3, ..., if positions are rotary.

    Parameters
    ----------
    model : CausalLM
        Its embedding is fitted, its blocks add nothing.
    counts : array of int64
        How often each token occurs, (V,).
    """
    if model.config.positions != "rotary":
        return
    embedding, distance = model.model.embed_tokens.weight[: len(counts)], 1
    for block in model.model.layers[:LAYERS]:
        assert isinstance(block, Block)
        always = _constant(block.input_layernorm(embedding), counts)
        distance = _turn(block.self_attn, always, frequencies(model.config), distance)


def _constant(states: Tensor, counts: npt.NDArray[np.int64]) -> Tensor:
    """Weights (C,) that make about 1 of the state (V, C) of any token, by least squares."""
    shares = torch.from_numpy(counts / counts.sum()).to(states)
    mean = shares @ states
    squares = states.t() @ (states * shares[:, None])
    squares.diagonal().add_(RIDGE)
    weights: Tensor = torch.linalg.solve(squares, mean)
    return weights


def _turn(attention: Attention, always: Tensor, turns: Tensor, distance: int) -> int:
    """Let heads look back, the first of them ``distance`` tokens; returns the next distance.

    Their queries are as many turns behind as the distance has: q · k = sum of w cos(turn (s - d))
    over the pairs of features, s tokens apart, is largest where s = d.
    """
    group = attention.heads // attention.kv_heads
    kv_heads = min(attention.kv_heads, -(-HEADS // group))
    # Fast turns tell neighbours apart, slow ones tell near from far: by the root of their speed.
    sizes = (attention.head_dim * turns.sqrt() / turns.sqrt().sum()).sqrt().to(always)
    key = torch.cat([sizes, torch.zeros_like(sizes)])
    queries = []
    for _ in range(kv_heads * group):
        behind = distance * turns.to(always)
        queries.append(torch.cat([sizes * behind.cos(), -sizes * behind.sin()]))
        distance += 1
    for linear, rows in (
        (attention.k_proj, key.repeat(kv_heads)),
        (attention.q_proj, torch.cat(queries)),
    ):
        linear.weight[: len(rows)].mul_(CONTENT).addr_(rows, always)
    return distance
