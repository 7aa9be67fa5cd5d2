"""Sequences laid out in one rectangle of ids, each in a row of its own or several in a row.

Shapes in comments: B rows, T ids in a row, N sequences, K ids that are scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modelwright.training.examples import TokenizedExample
from modelwright.training.losses.log_probabilities import sequence_sums
from modelwright.training.packing import pack


@dataclass(frozen=True)
class Sequences:
    """Sequences that go through a model together, and which of their ids are scored.

    What belongs to scored ids is kept in one dimension, without padding, by sequence and in order.

    Attributes
    ----------
    tokens : Tensor
        Ids (B, T), int64.
    documents : Tensor or None
        The sequence of each id (B, T), int64, where a row holds several; they do not see each
        other.
    scored : Tensor
        Places (K,) in the flattened rectangle whose next id is scored, int64.
    targets : Tensor
        These next ids (K,), int64.
    owners : Tensor
        The sequence that each belongs to (K,), int64.
    lasts : Tensor
        Place (N,) of the last id of each sequence, int64.
    """

    tokens: Tensor
    documents: Tensor | None
    scored: Tensor
    targets: Tensor
    owners: Tensor
    lasts: Tensor

    @property
    def count(self) -> int:
        """Number of sequences, N."""
        return self.lasts.shape[0]

    def sums(self, values: Tensor) -> Tensor:
        """Sums (N,) over the scored ids of each sequence, of values (K,)."""
        return sequence_sums(values, self.owners, self.count)

    def lengths(self) -> Tensor:
        """How many ids of each sequence are scored (N,), float32."""
        return self.sums(torch.ones_like(self.owners, dtype=torch.float32))


@dataclass(frozen=True)
class Layout:
    """How sequences are put into a rectangle.

    Attributes
    ----------
    pad : int
        Id for what stays empty.
    packs : bool
        Whether rows as long as the longest sequence hold several; else each has its own row.
    """

    pad: int
    packs: bool = False


def lay_out(examples: Sequence[TokenizedExample], layout: Layout) -> Sequences:
    """Put examples (at least one) into a rectangle, their trained ids scored."""
    lengths = [len(example.ids) for example in examples]
    width = max(lengths)
    rows = pack(lengths, width) if layout.packs else [[index] for index in range(len(examples))]
    tokens = torch.full((len(rows), width), layout.pad)
    documents = torch.full((len(rows), width), len(examples)) if layout.packs else None
    starts = dict[int, int]()
    for row, members in enumerate(rows):
        start = 0
        for index in members:
            end = start + lengths[index]
            tokens[row, start:end] = torch.from_numpy(examples[index].ids.astype("int64"))
            if documents is not None:
                documents[row, start:end] = index
            starts[index] = row * width + start
            start = end
    scored, targets, owners = list[Tensor](), list[Tensor](), list[Tensor]()
    for index, example in enumerate(examples):
        # An id is predicted at the place before it; nothing predicts the first.
        places = torch.from_numpy(example.trained[1:]).nonzero().flatten()
        scored.append(places + starts[index])
        targets.append(torch.from_numpy(example.ids.astype("int64"))[1:][places])
        owners.append(torch.full_like(places, index))
    lasts = torch.tensor([starts[index] + lengths[index] - 1 for index in range(len(examples))])
    return Sequences(
        tokens, documents, torch.cat(scored), torch.cat(targets), torch.cat(owners), lasts
    )
