"""From logits to tokens as ``sampler.py`` has it, with the CPU kernels: many times faster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from modelwright.inference.kernels.drawing import draw_tokens
from modelwright.inference.sampler import SamplingRows, noise_of


def sample(logits: Tensor, rows: SamplingRows, generators: Sequence[Generator]) -> Tensor:
    """Choose a token for each row; as :func:`sampler.sample`."""
    tokens = logits.numpy().argmax(axis=-1)
    drawn = [row for row, params in enumerate(rows.params) if not params.is_greedy]
    if not drawn:
        return torch.from_numpy(tokens)
    some = [rows.params[row] for row in drawn]
    own, found = logits if len(some) == len(tokens) else logits[drawn], tokens[drawn]
    draw_tokens(
        np.ascontiguousarray(own),
        np.array([params.temperature for params in some], np.float32),
        np.array([params.min_p for params in some], np.float32),
        np.array([params.top_k for params in some], np.int64),
        np.array([params.top_p for params in some], np.float64),
        noise_of(rows, generators).numpy()[drawn, 0],
        found,
    )
    tokens[drawn] = found
    return torch.from_numpy(tokens)
