"""Micro-batches of sampled answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from modelwright.training.sequences import Sequences


@dataclass(frozen=True)
class PolicyBatch:
    """N sampled answers that go through the model together; L ids in the longest of them.

    Attributes
    ----------
    sequences : Sequences
        Answers behind their prompts, the ids of answers scored.
    mask : Tensor
        Where answers have ids (N, L), bool; in the same order as the scored ids.
    places : Tensor
        The same as numbers (K,) in the flattened rows, int64.
    weights : Tensor
        1 for each answer (N, 1), float32; 0 for filling.
    token_weights : Tensor
        How much the loss of each id counts (N, L), float32.
    divisor : float
        What these add to what the step's sum is divided by.
    advantages : Tensor
        How much better than expected, (N, 1) of whole answers or (N, L) of ids, float32.
    sampler : Tensor
        Log-probabilities with which the ids were drawn (N, L), float32.
    old : Tensor or None
        Their log-probabilities when the rollout was made (N, L); None where the model has not
        changed since.
    reference : Tensor or None
        Their log-probabilities under the reference (N, L).
    old_values, returns : Tensor or None
        Values when the rollout was made, and what they should have been (N, L).
    kl_coefficient : float
        β of the penalty in the loss.
    facts : mapping of str to float
        What is to be logged of the rollout.
    """

    sequences: Sequences
    mask: Tensor
    places: Tensor
    weights: Tensor
    token_weights: Tensor
    divisor: float
    advantages: Tensor
    sampler: Tensor
    old: Tensor | None
    reference: Tensor | None
    old_values: Tensor | None
    returns: Tensor | None
    kl_coefficient: float
    facts: Mapping[str, float]

    @property
    def tokens(self) -> Tensor:
        """All ids (B, T)."""
        return self.sequences.tokens

    @property
    def documents(self) -> Tensor | None:
        """The sequence of each id where rows hold several (B, T)."""
        return self.sequences.documents

    def totals(self) -> dict[str, float]:
        """``policy``, what weighted losses are divided by, ``answers`` and their ``ids``."""
        return {
            "policy": self.divisor * float(self.weights.any()),
            "answers": float(self.weights.sum()),
            "ids": float((self.mask * self.weights).sum()),
        }

    def rows(self, values: Tensor) -> Tensor:
        """Values (K,) of the scored ids in rows (N, L), 0 elsewhere."""
        # By number, not by mask: that would make the host wait for a GPU.
        return (
            values.new_zeros(self.mask.numel()).scatter(0, self.places, values).view_as(self.mask)
        )
