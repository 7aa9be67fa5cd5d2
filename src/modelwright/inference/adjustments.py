"""What is done to logits before a token is drawn: bias, penalties, least length, given form."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection

import torch
from torch import Tensor

from modelwright.inference.sequence import Sequence


def adjusted(logits: Tensor, sequences: list[Sequence], end_tokens: Collection[int]) -> Tensor:
    """Logits (B, V) as the sequences ask for; the given ones if none asks for anything.

    Parameters
    ----------
    logits : Tensor
        What the model says (B, V), float32.
    sequences : list of Sequence
        One for each row.
    end_tokens : collection of int
        Tokens that end a text.
    """
    rows = [row for row, one in enumerate(sequences) if is_adjusted(one)]
    if not rows:
        return logits
    out = logits.clone()
    for row in rows:
        _adjust(out[row], sequences[row], end_tokens)
    return out


def is_adjusted(sequence: Sequence) -> bool:
    """Whether the logits of its next token are to be changed; once they are not, they stay so."""
    params = sequence.params
    is_free = sequence.matcher is None and not _may_not_end(sequence)
    return bool(params.has_penalties or params.logit_bias or not is_free)


def _may_not_end(sequence: Sequence) -> bool:
    return len(sequence.generated) < sequence.params.min_tokens


def _adjust(logits: Tensor, sequence: Sequence, end_tokens: Collection[int]) -> None:
    """Change one row (V,) in place, in the order of vLLM: bias, least length, penalties."""
    params = sequence.params
    if params.logit_bias:
        tokens = torch.tensor(list(params.logit_bias), device=logits.device)
        logits[tokens] += logits.new_tensor(list(params.logit_bias.values()))
    if _may_not_end(sequence):
        logits[torch.tensor(sorted(end_tokens), device=logits.device)] = -math.inf
    if params.repetition_penalty != 1:
        tokens = torch.tensor(sorted({*sequence.prompt, *sequence.generated}), device=logits.device)
        before, factor = logits[tokens], params.repetition_penalty
        logits[tokens] = torch.where(before > 0, before / factor, before * factor)
    if sequence.generated:
        counts = Counter(sequence.generated)
        tokens = torch.tensor(list(counts), device=logits.device)
        often = logits.new_tensor(list(counts.values()))
        logits[tokens] -= params.presence_penalty + params.frequency_penalty * often
    if sequence.matcher is not None:
        allowed = sequence.matcher.allowed().to(logits.device)
        logits.masked_fill_(~allowed, -math.inf)
