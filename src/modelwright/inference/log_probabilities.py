"""How likely tokens were, and what else could have been said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TokenLogProbability:
    """A token with its natural log-probability, as the model gives it.

    Attributes
    ----------
    token : int
        Its id.
    value : float
        Its own.
    alternatives : tuple of (int, float)
        The likeliest tokens and theirs, falling.
    """

    token: int
    value: float
    alternatives: tuple[tuple[int, float], ...] = ()


def token_log_probabilities(
    logits: Tensor, tokens: Tensor, alternatives: Sequence[int]
) -> list[TokenLogProbability]:
    """Look tokens up.

    Parameters
    ----------
    logits : Tensor
        What the model says (N, V).
    tokens : Tensor
        Which tokens came (N,), int64.
    alternatives : sequence of int
        How many likeliest tokens are wanted beside each, (N,).
    """
    logs = logits.float().log_softmax(dim=-1)  # (N, V)
    values = logs.gather(1, tokens[:, None])[:, 0].tolist()
    likely, likely_ids = (one.tolist() for one in logs.topk(max(alternatives), dim=-1))
    return [
        TokenLogProbability(token, value, tuple(zip(ids[:wanted], others[:wanted], strict=True)))
        for token, value, ids, others, wanted in zip(
            tokens.tolist(), values, likely_ids, likely, alternatives, strict=True
        )
    ]
