"""What a model makes of texts that are there: log-probabilities of tokens, and embeddings.

Shapes in comments: B texts, T tokens of the longest, C width of the residual stream, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

TOKENS_AT_ONCE = 4096
"""Most tokens, padding included, in one forward pass."""

LOGITS_AT_ONCE = 512
"""Tokens whose logits are worked out at once."""


def log_probabilities_of(
    hidden_states: Callable[[list[list[int]]], list[Tensor]],
    logits: Callable[[Tensor], Tensor],
    texts: list[list[int]],
) -> list[Tensor]:
    """Log-probability of every token given those before it.

    Parameters
    ----------
    hidden_states : callable
        Of texts of similar lengths, (T, C) each.
    logits : callable
        Of hidden states (M, C), (M, V).
    texts : list of list of int
        Token ids.

    Returns
    -------
    list of Tensor
        n - 1 numbers for n tokens, float32, on the CPU.
    """

    def score(batch: list[list[int]]) -> list[Tensor]:
        found = []
        for ids, hidden in zip(batch, hidden_states([ids[:-1] for ids in batch]), strict=True):
            targets = torch.tensor(ids[1:], device=hidden.device)
            parts = zip(
                torch.split(hidden, LOGITS_AT_ONCE),
                torch.split(targets, LOGITS_AT_ONCE),
                strict=True,
            )
            losses = [
                F.cross_entropy(logits(states).float(), wanted, reduction="none")
                for states, wanted in parts
            ]
            found.append(-torch.cat(losses).cpu())
        return found

    return _in_batches(texts, 2, score)


def embeddings_of(
    hidden_states: Callable[[list[list[int]]], list[Tensor]], texts: list[list[int]]
) -> list[Tensor]:
    """The mean hidden state of each text (C,), of length 1, float32, CPU."""

    def embed(batch: list[list[int]]) -> list[Tensor]:
        means = [hidden.float().mean(dim=0) for hidden in hidden_states(batch)]
        return list(F.normalize(torch.stack(means), dim=-1).cpu())

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
