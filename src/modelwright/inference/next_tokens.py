"""The next token of each sequence, from what the model says and what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection

from torch import Generator, Tensor

from modelwright.inference.adjustments import adjusted
from modelwright.inference.log_probabilities import token_log_probabilities
from modelwright.inference.sampler import SamplingRows, chosen_log_probabilities
from modelwright.inference.sequence import Sequence

Sample = Callable[[Tensor, SamplingRows, list[Generator]], Tensor]
"""Chooses tokens from logits, as :func:`sampler.sample` does."""


def next_tokens(
    sequences: list[Sequence], said: Tensor, end_tokens: Collection[int], sample: Sample
) -> list[int]:
    """Choose them, and keep how likely they were with the sequences that ask for it.

    Parameters
    ----------
    sequences : list of Sequence
        One for each row; not changed otherwise.
    said : Tensor
        The model's logits (B, V), float32.
    end_tokens : collection of int
        Tokens that end a text.
    sample : callable
        The network's.
    """
    logits = adjusted(said, sequences, end_tokens)
    rows = SamplingRows([sequence.params for sequence in sequences], logits.device)
    tokens = sample(logits, rows, [sequence.generator for sequence in sequences])
    if any(one.log_probabilities for one in rows.params):
        found = chosen_log_probabilities(logits, tokens, rows).tolist()
        for sequence, value in zip(sequences, found, strict=True):
            if sequence.params.log_probabilities:
                sequence.log_probabilities.append(value)
    _keep_alternatives(sequences, said, tokens)
    chosen: list[int] = tokens.tolist()
    return chosen


def _keep_alternatives(sequences: list[Sequence], logits: Tensor, tokens: Tensor) -> None:
    """Add to the sequences that ask for it how likely their new tokens were, and which others."""
    rows = [row for row, one in enumerate(sequences) if one.params.alternatives is not None]
    if not rows:
        return
    wanted = [sequences[row].params.alternatives or 0 for row in rows]
    found = token_log_probabilities(logits[rows], tokens[rows], wanted)
    for row, one in zip(rows, found, strict=True):
        sequences[row].alternatives.append(one)
