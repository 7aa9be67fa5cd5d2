"""Pairs of answers, one preferred to the other, and their micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modelwright.training.examples import ExampleBatches, TokenizedExample
from modelwright.training.sequences import Layout, Sequences, lay_out


@dataclass(frozen=True)
class TokenizedPair:
    """Two answers to one prompt as ids, their trained ids those of the answer.

    Attributes
    ----------
    chosen, rejected : TokenizedExample
        The better and the worse one, each with the prompt before it.
    margin : float or None
        By how much the chosen one is better, where that is known.
    """

    chosen: TokenizedExample
    rejected: TokenizedExample
    margin: float | None = None


@dataclass(frozen=True)
class PairBatch:
    """P pairs of answers that go through the model together.

    Attributes
    ----------
    sequences : Sequences
        The 2P answers with their prompts: 2i is the chosen one of pair i, 2i + 1 the rejected one.
    weights : Tensor
        How much each pair counts (P,), float32.
    is_answer : Tensor
        1 for scored ids of an answer, 0 for those of a prompt (K,), float32.
    reference : Tensor or None
        Log-probability of each answer under the reference (2P,), float32.
    margins : Tensor or None
        By how much chosen answers are better (P,), float32.
    """

    sequences: Sequences
    weights: Tensor
    is_answer: Tensor
    reference: Tensor | None = None
    margins: Tensor | None = None

    @property
    def tokens(self) -> Tensor:
        """All ids (B, T)."""
        return self.sequences.tokens

    @property
    def documents(self) -> Tensor | None:
        """The sequence of each id where rows hold several (B, T)."""
        return self.sequences.documents

    def totals(self) -> dict[str, float]:
        """``pairs``, and ``chosen_tokens``, the scored ids of chosen answers."""
        chosen = self.sequences.lengths()[0::2]
        return {
            "pairs": float(self.weights.sum()),
            "chosen_tokens": float((chosen * self.weights).sum()),
        }


def pair_batches(
    pairs: Sequence[TokenizedPair],
    rows: int,
    micro_rows: int,
    seed: int,
    layout: Layout,
    reference: Tensor | None = None,
    scores_prompts: bool = False,
) -> ExampleBatches[PairBatch]:
    """Batches of pairs.

    Parameters
    ----------
    pairs : sequence of TokenizedPair
        At least one.
    rows, micro_rows : int
        Pairs in an optimizer step and in a micro-batch.
    seed : int
        Sets the order.
    layout : Layout
        How they are put together.
    reference : Tensor, optional
        Log-probabilities of chosen and rejected answers under the reference, (pairs, 2).
    scores_prompts : bool
        Whether the ids of prompts are scored too.
    """

    def make(step: Sequence[int], part: slice) -> PairBatch:
        numbers = list(step[part])
        known = None if reference is None else reference[numbers].flatten()
        return pair_batch([pairs[number] for number in numbers], layout, known, scores_prompts)

    lengths = [len(pair.chosen.ids) + len(pair.rejected.ids) for pair in pairs]
    return ExampleBatches(lengths, rows, micro_rows, seed, make)


def pair_batch(
    pairs: Sequence[TokenizedPair],
    layout: Layout,
    reference: Tensor | None = None,
    scores_prompts: bool = False,
) -> PairBatch:
    """Pairs in one micro-batch; ``reference`` has (2P,) log-probabilities."""
    answers = [answer for pair in pairs for answer in (pair.chosen, pair.rejected)]
    examples = [_scored_whole(answer) for answer in answers] if scores_prompts else answers
    sequences = lay_out(examples, layout)
    is_answer = torch.cat(
        [
            torch.from_numpy(answer.trained[1:][example.trained[1:]]).float()
            for answer, example in zip(answers, examples, strict=True)
        ]
    )
    has_margins = any(pair.margin is not None for pair in pairs)
    margins = torch.tensor([pair.margin or 0.0 for pair in pairs]) if has_margins else None
    return PairBatch(sequences, torch.ones(len(pairs)), is_answer, reference, margins)


def _scored_whole(example: TokenizedExample) -> TokenizedExample:
    everything = [True] * len(example.ids)
    return TokenizedExample.of(example.ids.tolist(), everything, example.is_conversation)
