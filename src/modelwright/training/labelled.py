"""Answers with a thumb up or down, and their micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modelwright.core.errors import InputError
from modelwright.training.examples import ExampleBatches, TokenizedExample
from modelwright.training.sequences import Layout, Sequences, lay_out


@dataclass(frozen=True)
class LabelledAnswer:
    """An answer as ids, prompt and answer apart, as answers are put behind other prompts too.

    Attributes
    ----------
    prompt, answer : tuple of int
        Ids.
    trained : tuple of bool
        Which ids of the answer the model says itself.
    is_good : bool
        Its label.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    trained: tuple[bool, ...]
    is_good: bool

    def behind(self, prompt: Sequence[int], longest: int) -> TokenizedExample:
        """The answer behind a prompt, cut off where both are longer than ``longest``."""
        room = longest - len(prompt)
        ids = [*prompt, *self.answer[:room]]
        return TokenizedExample.of(ids, [False] * len(prompt) + [*self.trained[:room]], False)


@dataclass(frozen=True)
class LabelledBatch:
    """N labelled answers that go through the model together.

    Attributes
    ----------
    sequences : Sequences
        The answers behind their prompts.
    mismatched : Sequences or None
        The same prompts, with answers to others; None where no baseline is worked out.
    weights : Tensor
        How much each counts (N,), float32.
    is_good : Tensor
        Labels (N,), bool.
    reference, mismatched_reference : Tensor
        Log-probabilities of the answers under the reference (N,), float32; the latter as above.
    baseline : Tensor
        The step's estimate of the divergence from the reference, a float32 scalar.
    """

    sequences: Sequences
    mismatched: Sequences | None
    weights: Tensor
    is_good: Tensor
    reference: Tensor
    mismatched_reference: Tensor | None
    baseline: Tensor

    @property
    def tokens(self) -> Tensor:
        """Ids of the answers behind their own prompts (B, T)."""
        return self.sequences.tokens

    @property
    def documents(self) -> Tensor | None:
        """The sequence of each id where rows hold several (B, T)."""
        return self.sequences.documents

    def totals(self) -> dict[str, float]:
        """``answers``, and how many of them are ``good`` and ``bad``."""
        good = float((self.weights * self.is_good).sum())
        answers = float(self.weights.sum())
        return {"answers": answers, "good": good, "bad": answers - good}


def joined(prompt: Sequence[int], answer: Sequence[int]) -> TokenizedExample:
    """An answer behind a prompt, the answer trained."""
    trained = [False] * len(prompt) + [True] * len(answer)
    return TokenizedExample.of([*prompt, *answer], trained, is_conversation=False)


def partners(answers: Sequence[LabelledAnswer]) -> list[int]:
    """For each answer another one, whose prompt is not the same: that before, if it is another.

    Raises
    ------
    InputError
        If all prompts are the same.
    """
    count = len(answers)
    found = list[int]()
    for index, answer in enumerate(answers):
        earlier = ((index - distance) % count for distance in range(1, count))
        partner = next((one for one in earlier if answers[one].prompt != answer.prompt), None)
        if partner is None:
            raise InputError(
                "the baseline of KTO needs answers to at least two prompts, and there is one",
                fix="give more rows",
            )
        found.append(partner)
    return found


def matched(answers: Sequence[LabelledAnswer]) -> list[TokenizedExample]:
    """Each prompt with its answer."""
    return [one.behind(one.prompt, len(one.prompt) + len(one.answer)) for one in answers]


def mismatch(answers: Sequence[LabelledAnswer], longest: int) -> list[TokenizedExample]:
    """Each prompt with the answer of its partner, both together at most ``longest`` ids."""
    order = partners(answers)
    return [
        answers[partner].behind(answer.prompt, longest)
        for answer, partner in zip(answers, order, strict=True)
    ]


def labelled_batches(
    answers: Sequence[LabelledAnswer],
    rows: int,
    micro_rows: int,
    seed: int,
    layout: Layout,
    reference: Tensor,
    others: Sequence[TokenizedExample] | None = None,
    others_reference: Tensor | None = None,
) -> ExampleBatches[LabelledBatch]:
    """Batches of labelled answers.

    Parameters
    ----------
    answers : sequence of LabelledAnswer
        With at least two prompts.
    rows, micro_rows : int
        Answers in an optimizer step and in a micro-batch.
    seed : int
        Sets the order.
    layout : Layout
        How they are put together.
    reference : Tensor
        Log-probabilities under the reference of the answers behind their own prompts (answers,).
    others : sequence of TokenizedExample, optional
        Those of :func:`mismatch`, for a baseline.
    others_reference : Tensor, optional
        Log-probabilities of these (answers,).
    """
    own = matched(answers)

    def make(step: Sequence[int], part: slice) -> LabelledBatch:
        numbers = list(step[part])
        return LabelledBatch(
            lay_out([own[number] for number in numbers], layout),
            None if others is None else lay_out([others[number] for number in numbers], layout),
            torch.ones(len(numbers)),
            torch.tensor([answers[number].is_good for number in numbers]),
            reference[numbers],
            None if others_reference is None else others_reference[numbers],
            torch.zeros(()),
        )

    lengths = [
        len(one.ids) + (0 if others is None else len(others[number].ids))
        for number, one in enumerate(own)
    ]
    return ExampleBatches(lengths, rows, micro_rows, seed, make)
