"""What a shape of examples is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modelwright.core.examples import Row


@dataclass(frozen=True)
class Shape:
    """A shape that rows may come in.

    Attributes
    ----------
    name : str
        What the field calls it.
    keys : frozenset of str
        Fields that make a row of this shape.
    optional : frozenset of str
        Fields that it may have and that are used.
    read : callable
        Turns the fields into one of the forms of ``core/examples.py``, without the origin; raises
        ``BadRowError`` for what is not as it should be.
    keeps_others : bool
        Whether fields that it does not know are kept, for rewards.
    """

    name: str
    keys: frozenset[str]
    optional: frozenset[str]
    read: Callable[[Mapping[str, Any]], Row]
    keeps_others: bool = False

    @property
    def in_words(self) -> str:
        """Its name and its fields."""
        return f"{self.name} ({', '.join(sorted(self.keys))})"


def shape(
    name: str,
    keys: str,
    read: Callable[[Mapping[str, Any]], Row],
    optional: str = "",
    keeps_others: bool = False,
) -> Shape:
    """A shape with its keys as words of one text."""
    return Shape(name, frozenset(keys.split()), frozenset(optional.split()), read, keeps_others)
