"""What an adapter is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from modelwright.core.errors import InputError

ALL_LINEAR = "all-linear"

Value = TypeVar("Value", int, float)


@dataclass(frozen=True)
class AdapterConfig:
    """A low-rank change of linear layers (LoRA, Hu et al. 2021, arXiv:2106.09685) and its variants.

    Attributes
    ----------
    rank : int
        Of the change of a weight, B · A.
    alpha : float
        The change is multiplied by alpha / rank.
    rs_lora : bool
        By alpha / √rank instead, with which large ranks learn as fast as small ones (Kalajdzievski
        2023, arXiv:2312.03732).
    dora : bool
        Whether the length of each row is learnt apart from its direction (Liu et al. 2024,
        arXiv:2402.09353).
    initialisation : {"default", "pissa"}
        A random and B zero, or the principal parts of the weight, which are taken off the base
        while the adapter is on (Meng et al. 2024, arXiv:2404.02948).
    dropout : float
        Share of the inputs to A that is left out in training.
    target_modules : "all-linear" or tuple of str
        Linear layers of the blocks, by the end of their names; never the head.
    modules_to_save : tuple of str
        Modules that are trained whole, on a copy, by the end of their names.
    keep_tied : bool
        Whether an embedding and a head that are one tensor stay one, if either is trained whole.
    rank_pattern, alpha_pattern : mapping of str to number
        Other ranks and alphas for layers whose names end in a match of the regular expression; the
        first that matches counts.
    """

    rank: int = 16
    alpha: float = 32.0
    rs_lora: bool = False
    dora: bool = False
    initialisation: Literal["default", "pissa"] = "default"
    dropout: float = 0.0
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    modules_to_save: tuple[str, ...] = ()
    keep_tied: bool = True
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for rank in (self.rank, *self.rank_pattern.values()):
            if rank < 1:
                raise InputError(f"an adapter has no rank {rank}", fix="choose a rank of 1 or more")
        if not 0 <= self.dropout < 1:
            raise InputError(
                f"dropout of {self.dropout} is no share", fix="choose from 0 to below 1"
            )
        for pattern in (*self.rank_pattern, *self.alpha_pattern):
            try:
                re.compile(pattern)
            except re.error as error:
                raise InputError(
                    f"{pattern!r} is no regular expression: {error}",
                    where="rank_pattern or alpha_pattern",
                    fix="give the end of a layer's name, as 'layers.0.self_attn.q_proj'",
                ) from None

    def rank_of(self, name: str) -> int:
        """The rank in the layer of that name."""
        return _by_pattern(self.rank_pattern, name, self.rank)

    def scaling_of(self, name: str) -> float:
        """What the change of the layer of that name is multiplied by."""
        rank = self.rank_of(name)
        divisor = rank**0.5 if self.rs_lora else rank
        return _by_pattern(self.alpha_pattern, name, self.alpha) / divisor


def _by_pattern(patterns: Mapping[str, Value], name: str, otherwise: Value) -> Value:
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return value
    return otherwise
