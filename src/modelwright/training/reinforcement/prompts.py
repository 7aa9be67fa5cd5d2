"""Prompts to answer, and in which order they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelwright.tokens.order import Permutation


@dataclass(frozen=True)
class Prompt:
    """Something to answer.

    Attributes
    ----------
    ids : tuple of int
        Token ids, up to where the answer begins.
    text : str or list of dict
        The prompt as text, or as messages.
    row : dict
        What else its row holds, for rewards.
    """

    ids: tuple[int, ...]
    text: Any
    row: Mapping[str, Any]


def prompts_at(prompts: Sequence[Prompt], number: int, count: int, seed: int) -> list[int]:
    """Which prompts rollout ``number`` takes: ``count`` of a shuffled order, all once an epoch."""
    first = number * count
    chosen = []
    for index in range(first, first + count):
        epoch, place = divmod(index, len(prompts))
        chosen.append(Permutation(len(prompts), seed, epoch)[place])
    return chosen
