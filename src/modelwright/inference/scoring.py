"""What a model makes of texts that are there: log-probabilities of tokens, and embeddings.

Shapes in comments: B texts, T tokens of the longest, C width of the residual stream, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from modelwright.models.transformer import CausalLM

TOKENS_AT_ONCE = 4096
"""Most tokens, padding included, in one forward pass."""


def log_probabilities_of(model: CausalLM, texts: list[list[int]]) -> list[Tensor]:
    """Log-probability of every token given those before it; n - 1 for n tokens, float32, CPU."""

    def score(batch: list[list[int]]) -> list[Tensor]:
        tokens, _ = _pad(batch, _device(model))
        logits = model(tokens[:, :-1]).float()  # (B, T - 1, V)
        targets = tokens[:, 1:]
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        rows = losses.view(targets.shape).cpu()
        return [-row[: len(ids) - 1] for row, ids in zip(rows, batch, strict=True)]

    return _in_batches(texts, 2, score)


def embeddings_of(model: CausalLM, texts: list[list[int]]) -> list[Tensor]:
    """The mean hidden state of each text (C,), of length 1, float32, CPU."""

    def embed(batch: list[list[int]]) -> list[Tensor]:
        tokens, lengths = _pad(batch, _device(model))
        hidden = model.hidden_states(tokens).float()  # (B, T, C)
        is_real = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        means = (hidden * is_real[:, :, None]).sum(dim=1) / lengths[:, None]
        return list(F.normalize(means, dim=-1).cpu())

    return _in_batches(texts, 1, embed)


def _in_batches(
    texts: list[list[int]], least: int, work: Callable[[list[list[int]]], list[Tensor]]
) -> list[Tensor]:
    """What ``work`` makes of texts, similar lengths together; nothing of those below ``least``."""
    found = [torch.zeros(0)] * len(texts)
    for indices in _batches([len(text) for text in texts], least):
        results = work([texts[index] for index in indices])
        for index, result in zip(indices, results, strict=True):
            found[index] = result
    return found


def _batches(lengths: list[int], least: int) -> list[list[int]]:
    """Indices of texts that are long enough, grouped by similar length."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if lengths[index] < least:
            continue
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= TOKENS_AT_ONCE:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _pad(sequences: list[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids (B, longest), padded on the right with id 0, and lengths (B,)."""
    lengths = [len(sequence) for sequence in sequences]
    longest = max(lengths)
    rows = [sequence + [0] * (longest - len(sequence)) for sequence in sequences]
    return torch.tensor(rows, device=device), torch.tensor(lengths, device=device)


def _device(model: CausalLM) -> torch.device:
    return model.model.embed_tokens.weight.device
