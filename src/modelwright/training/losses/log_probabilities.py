"""Log-probabilities of tokens from hidden states, and sums of them over sequences.

The logits never exist as a whole: they are made in chunks of rows, and made again in the backward
pass, since the gradient that comes back is not known before. With V classes that takes
O(chunk · V) memory instead of O(rows · V) (as :mod:`modelwright.training.cross_entropy` does).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from modelwright.training.cross_entropy import row_chunks


def log_probabilities(
    hidden: Tensor, head: Tensor, targets: Tensor, temperature: float = 1.0
) -> Tensor:
    """Log-probability of each target under ``softmax(hidden · headᵀ / temperature)``, in nats.

    Parameters
    ----------
    hidden : Tensor
        Hidden states (N, C); under autocast the products are made in its type, all else in float32.
    head : Tensor
        Weight of the output layer (V, C).
    targets : Tensor
        Classes (N,), int64.
    temperature : float
        Above 0.

    Returns
    -------
    Tensor
        (N,), float32.
    """
    chosen, _ = _apply(hidden, head, targets, temperature, with_entropy=False)
    return chosen


def log_probabilities_and_entropies(
    hidden: Tensor, head: Tensor, targets: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """:func:`log_probabilities`, and the entropy of each row's distribution, both (N,) float32."""
    return _apply(hidden, head, targets, temperature, with_entropy=True)


def sequence_sums(values: Tensor, owners: Tensor, count: int) -> Tensor:
    """Sum the values of each sequence's tokens.

    Parameters
    ----------
    values : Tensor
        One of each token (N,).
    owners : Tensor
        The sequence that each token belongs to (N,), int64, 0 to ``count`` - 1.
    count : int
        Number of sequences.

    Returns
    -------
    Tensor
        (count,); 0 for a sequence without tokens.
    """
    return values.new_zeros(count).index_add(0, owners, values)


def to_rows(values: Tensor, mask: Tensor) -> Tensor:
    """Put values (N,) where ``mask`` (B, T) is true, in its order; 0 elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


def _apply(
    hidden: Tensor, head: Tensor, targets: Tensor, temperature: float, with_entropy: bool
) -> tuple[Tensor, Tensor]:
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    found: tuple[Tensor, Tensor] = _LogProbabilities.apply(  # type: ignore[no-untyped-call]
        hidden, head, targets, temperature, dtype, with_entropy
    )
    return found


class _LogProbabilities(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        head: Tensor,
        targets: Tensor,
        temperature: float,
        dtype: torch.dtype,
        with_entropy: bool,
    ) -> tuple[Tensor, Tensor]:
        rows, table = hidden.to(dtype), head.to(dtype)
        chosen = torch.empty(len(rows), device=rows.device)
        log_sums, entropies = torch.empty_like(chosen), torch.zeros_like(chosen)
        with torch.autocast(rows.device.type, enabled=False):
            for part in row_chunks(rows, table):
                logits = (rows[part] @ table.t()).float().div_(temperature)
                log_sums[part] = logits.logsumexp(-1)
                picked = logits.gather(1, targets[part, None]).squeeze(1)
                chosen[part] = picked - log_sums[part]
                if with_entropy:
                    logs = logits.sub_(log_sums[part, None])
                    entropies[part] = -(logs.exp() * logs).sum(-1)
        ctx.save_for_backward(hidden, head, targets, log_sums, entropies)
        ctx.temperature, ctx.dtype, ctx.with_entropy = temperature, dtype, with_entropy
        return chosen, entropies

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, entropy_gradient: Tensor) -> Any:
        hidden, head, targets, log_sums, entropies = ctx.saved_tensors
        needs_hidden, needs_head = ctx.needs_input_grad[:2]
        rows, table = hidden.to(ctx.dtype), head.to(ctx.dtype)
        hidden_gradient = torch.empty_like(rows) if needs_hidden else None
        head_gradient = torch.zeros_like(head, dtype=torch.float32) if needs_head else None
        with torch.autocast(rows.device.type, enabled=False):
            for part in row_chunks(rows, table):
                logs = (rows[part] @ table.t()).float().div_(ctx.temperature)
                logs.sub_(log_sums[part, None])
                slopes = _slopes(logs, targets[part, None], gradient[part, None])
                if ctx.with_entropy:
                    slopes += _entropy_slopes(
                        logs, entropies[part, None], entropy_gradient[part, None]
                    )
                slopes = slopes.div_(ctx.temperature).to(ctx.dtype)
                if hidden_gradient is not None:
                    torch.mm(slopes, table, out=hidden_gradient[part])
                if head_gradient is not None:
                    head_gradient += slopes.t() @ rows[part]
        return (
            None if hidden_gradient is None else hidden_gradient.to(hidden.dtype),
            None if head_gradient is None else head_gradient.to(head.dtype),
            None,
            None,
            None,
            None,
        )


def _slopes(logs: Tensor, targets: Tensor, gradient: Tensor) -> Tensor:
    """∂ log p(target) / ∂ logits = one-hot - p, times what comes back."""
    return logs.exp().mul_(-gradient).scatter_add_(1, targets, gradient)


def _entropy_slopes(logs: Tensor, entropies: Tensor, gradient: Tensor) -> Tensor:
    """∂H / ∂ logits = -p · (log p + H), times what comes back."""
    return -gradient * logs.exp() * (logs + entropies)
