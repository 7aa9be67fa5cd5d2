"""Batches: what an objective gets, and where they come from.

A source of batches is a pure function of the step, so nothing but the step is kept for resume.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modelwright.tokens.order import Permutation, keyed_hash
from modelwright.tokens.shards import TokenShards


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

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with every tensor changed, as moved to a device."""
        documents = None if self.documents is None else change(self.documents)
        return Batch(change(self.tokens), change(self.targets), change(self.weights), documents)

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))


class Batches(Protocol):
    """A source of batches.

    Attributes
    ----------
    steps_per_epoch : int
        Steps until everything was seen once (at least 1).
    tokens_per_step : int
        Tokens that go through the model in a step, about.
    has_one_shape : bool
        Whether all micro-batches have the same shape.
    longest_row : int
        Most tokens in a row of a micro-batch.
    """

    steps_per_epoch: int
    tokens_per_step: int
    has_one_shape: bool
    longest_row: int

    def at(self, step: int) -> list[Batch]:
        """The micro-batches of that optimizer step (from 0)."""


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
        self.longest_row = length

    def at(self, step: int) -> list[Batch]:
        """The micro-batches of that optimizer step."""
        first = step * self.rows
        rows = [self._window(index) for index in range(first, first + self.rows)]
        return [
            next_token_batch(torch.stack(rows[start : start + self.micro_rows]), self.first_token)
            for start in range(0, self.rows, self.micro_rows)
        ]

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


@dataclass(frozen=True)
class TokenizedExample:
    """An example as ids (uint32, one dimension), and which of them are trained on (bool).

    ``is_conversation`` says whether the chat template rendered it.
    """

    ids: npt.NDArray[np.uint32]
    trained: npt.NDArray[np.bool_]
    is_conversation: bool

    @classmethod
    def of(
        cls, ids: Sequence[int], trained: Sequence[bool], is_conversation: bool
    ) -> TokenizedExample:
        """From plain sequences of equal length."""
        id_array, trained_array = np.array(ids, dtype=np.uint32), np.array(trained, dtype=np.bool_)
        return cls(id_array, trained_array, is_conversation)


class ExampleBatches:
    """Padded batches of examples of similar length; only trained tokens have weight.

    Parameters
    ----------
    examples : list of TokenizedExample
        At least one.
    rows : int
        Examples in an optimizer step.
    micro_rows : int
        Examples in a micro-batch.
    pad : int
        Id for the padding at the end of rows (it has no weight and nothing looks at it).
    seed : int
        Sets the order.
    """

    has_one_shape = False

    POOL_STEPS = 16
    """Examples are shuffled, then sorted by length inside pools of so many steps."""

    def __init__(
        self,
        examples: list[TokenizedExample],
        rows: int,
        micro_rows: int,
        pad: int,
        seed: int,
    ):
        self.examples, self.pad, self.seed = examples, pad, seed
        self.rows = min(rows, len(examples))
        self.micro_rows = min(micro_rows, self.rows)
        self.steps_per_epoch = len(examples) // self.rows
        self.longest_row = max(len(example.ids) for example in examples) - 1
        mean_length = sum(len(example.ids) for example in examples) / len(examples)
        self.tokens_per_step = max(1, round(self.rows * mean_length))
        self._epoch_order = lru_cache(maxsize=2)(self._order)

    def at(self, step: int) -> list[Batch]:
        """The micro-batches of that optimizer step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        chosen = self._epoch_order(epoch)[place]
        return [
            self._pad([self.examples[index] for index in chosen[start : start + self.micro_rows]])
            for start in range(0, self.rows, self.micro_rows)
        ]

    def _order(self, epoch: int) -> list[list[int]]:
        """The examples of every step of an epoch."""
        shuffle = Permutation(len(self.examples), self.seed, epoch)
        order = [shuffle[index] for index in range(len(self.examples))]
        pool = self.POOL_STEPS * self.rows
        steps: list[list[int]] = []
        for start in range(0, len(order), pool):
            part = sorted(order[start : start + pool], key=lambda i: len(self.examples[i].ids))
            steps += [part[i : i + self.rows] for i in range(0, len(part), self.rows)]
        steps = [step for step in steps if len(step) == self.rows]
        mix = Permutation(len(steps), self.seed, -1 - epoch)
        return [steps[mix[index]] for index in range(len(steps))]

    def _pad(self, examples: list[TokenizedExample]) -> Batch:
        length = max(len(example.ids) for example in examples)
        ids = torch.full((len(examples), length), self.pad)
        weights = torch.zeros(len(examples), length)
        for row, example in enumerate(examples):
            ids[row, : len(example.ids)] = torch.from_numpy(example.ids.astype(np.int64))
            weights[row, : len(example.ids)] = torch.from_numpy(example.trained)
        return Batch(ids[:, :-1], ids[:, 1:], weights[:, 1:])
