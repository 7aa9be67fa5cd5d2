"""Batches of tokens to predict, and where they come from.

A source of batches is a pure function of the step, so nothing but the step is kept for resume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from modelwright.tokens.order import Permutation, keyed_hash
from modelwright.tokens.shards import TokenShards
from modelwright.training.examples import ExampleBatches, TokenizedExample
from modelwright.training.micro_batch import MicroBatch
from modelwright.training.sequences import Layout, lay_out

BatchT_co = TypeVar("BatchT_co", bound=MicroBatch, covariant=True)


@dataclass(frozen=True)
class Batch:
    """One micro-batch.

    Attributes
    ----------
    tokens : Tensor
        Input ids (B, T), int64.
    targets : Tensor
        Ids to predict (B, T), int64.
    weights : Tensor
        Weight of each target (B, T), float32; 0 where no loss is wanted.
    documents : Tensor, optional
        The document of each input (B, T), int64, where tokens may only look at their own.
    """

    tokens: Tensor
    targets: Tensor
    weights: Tensor
    documents: Tensor | None = None

    def totals(self) -> dict[str, float]:
        """The weight of all targets, as ``tokens``."""
        return {"tokens": float(self.weights.sum())}


class Batches(Protocol[BatchT_co]):
    """A source of batches.

    Attributes
    ----------
    steps_per_epoch : int
        Steps until everything was seen once (at least 1).
    tokens_per_step : int
        Tokens that go through the model in a step, about.
    has_one_shape : bool
        Whether all micro-batches have the same shape.
    micro_batches : int
        Most micro-batches in a step.
    can_be_made_ahead : bool
        Whether batches depend on the step alone, not on the model.
    """

    steps_per_epoch: int
    tokens_per_step: int
    has_one_shape: bool
    micro_batches: int
    can_be_made_ahead: bool

    def at(self, step: int) -> Sequence[BatchT_co]:
        """The micro-batches of that optimizer step (from 0)."""

    def largest(self) -> BatchT_co:
        """A micro-batch that takes as much memory as any."""


class WindowBatches:
    """Windows of token shards in shuffled order, each token once an epoch.

    Parameters
    ----------
    shards : TokenShards
        Where the tokens are.
    length : int
        Tokens in a window, T.
    rows : int
        Windows in an optimizer step.
    micro_rows : int
        Windows in a micro-batch.
    seed : int
        Sets the order.
    mask_documents : bool
        Whether tokens may only look at their own document.
    """

    can_be_made_ahead = True

    def __init__(
        self,
        shards: TokenShards,
        length: int,
        rows: int,
        micro_rows: int,
        seed: int,
        mask_documents: bool = False,
    ):
        self.shards, self.length, self.rows = shards, length, rows
        self.first_token = shards.end_of_text if mask_documents else None
        self.micro_rows, self.seed = min(micro_rows, rows), seed
        # One token more than T is read (the last target), and epochs start up to T-1 later.
        self.windows = max(1, (shards.tokens - length) // length)
        self.steps_per_epoch = max(1, self.windows // rows)
        self.tokens_per_step = rows * length
        self.has_one_shape = rows % self.micro_rows == 0
        self.micro_batches = -(-rows // self.micro_rows)

    def at(self, step: int) -> list[Batch]:
        """The micro-batches of that optimizer step."""
        first = step * self.rows
        rows = [self._window(index) for index in range(first, first + self.rows)]
        return [
            next_token_batch(torch.stack(rows[start : start + self.micro_rows]), self.first_token)
            for start in range(0, self.rows, self.micro_rows)
        ]

    def largest(self) -> Batch:
        """The first of the first step: all have as many rows, save for the last of a step."""
        return self.at(0)[0]

    def _window(self, index: int) -> Tensor:
        epoch, place = divmod(index, self.windows)
        window = Permutation(self.windows, self.seed, epoch)[place]
        # Windows are cut at another offset in each epoch, so that no border is for ever.
        slack = self.shards.tokens - 1 - self.windows * self.length
        offset = keyed_hash(self.seed, epoch) % (slack + 1) if slack > 0 else 0
        start = offset + window * self.length
        return torch.from_numpy(self.shards.read(start, self.length + 1))


def next_token_batch(windows: Tensor, first_token: int | None = None) -> Batch:
    """Every token of windows (B, T + 1) from those before it.

    ``first_token`` is what every document begins with, if they are to be kept apart.
    """
    tokens, targets = windows[:, :-1], windows[:, 1:]
    documents = None if first_token is None else (tokens == first_token).cumsum(dim=1)
    return Batch(tokens, targets, torch.ones(targets.shape), documents)


def supervised_batches(
    examples: Sequence[TokenizedExample],
    rows: int,
    micro_rows: int,
    seed: int,
    layout: Layout,
) -> ExampleBatches[Batch]:
    """Batches of examples whose trained ids are to be predicted.

    Parameters
    ----------
    examples : sequence of TokenizedExample
        At least one.
    rows, micro_rows, seed : int
        As :class:`~modelwright.training.examples.ExampleBatches` takes them.
    layout : Layout
        How they are put together; padding has no weight and nothing looks at it.
    """

    def make(step: Sequence[int], part: slice) -> Batch:
        return example_batch([examples[index] for index in step[part]], layout)

    lengths = [len(example.ids) for example in examples]
    return ExampleBatches(lengths, rows, micro_rows, seed, make)


def example_batch(examples: Sequence[TokenizedExample], layout: Layout) -> Batch:
    """Examples in one micro-batch, the trained ids with weight 1."""
    laid_out = lay_out(examples, layout)
    targets = laid_out.tokens.roll(-1, dims=1)
    weights = torch.zeros(laid_out.tokens.shape)
    weights.view(-1)[laid_out.scored] = 1.0
    # Nothing follows the last column.
    documents = None if laid_out.documents is None else laid_out.documents[:, :-1]
    return Batch(laid_out.tokens[:, :-1], targets[:, :-1], weights[:, :-1], documents)
