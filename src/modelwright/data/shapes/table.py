"""Which shapes there are, and which of them a row has: a question of its keys alone."""

from __future__ import annotations

from collections.abc import Collection

from modelwright.core.examples import ORIGIN
from modelwright.data.shapes import alpaca, sharegpt, standard
from modelwright.data.shapes.fields import MISSING, BadRowError
from modelwright.data.shapes.shape import Shape, shape

SHAPES = (
    shape("messages", "messages", standard.conversation, "tools"),
    shape("prompt and completion", "prompt completion", standard.completion, "tools"),
    shape("pair", "prompt chosen rejected", standard.preference, "tools margin"),
    shape("pair without prompt", "chosen rejected", standard.implicit_preference, "tools margin"),
    shape("labelled", "prompt completion label", standard.labelled, "tools"),
    shape("prompt", "prompt", standard.prompt, "tools", keeps_others=True),
    shape("Alpaca", "instruction output", alpaca.conversation, "input system history tools"),
    shape(
        "Alpaca pair",
        "instruction chosen rejected",
        alpaca.preference,
        "input system history tools margin",
    ),
    shape(
        "Alpaca labelled",
        "instruction output kto_tag",
        alpaca.labelled,
        "input system history tools",
    ),
    shape("ShareGPT", "conversations", sharegpt.conversation, "system tools"),
    shape(
        "ShareGPT pair",
        "conversations chosen rejected",
        sharegpt.preference,
        "system tools margin",
    ),
    shape("ShareGPT labelled", "conversations kto_tag", sharegpt.labelled, "system tools"),
)

UNKNOWN, AMBIGUOUS = "fields of no known shape", "fields of two shapes"

_NOT_FOR_REWARDS = frozenset().union(*(one.keys for one in SHAPES)) - {"prompt", "label"}
"""A prompt with one of these is a misspelt row of another shape."""


def recognise(keys: Collection[str]) -> Shape:
    """The shape of a row with these keys.

    Of two shapes the one with more of the keys counts, if it has all of the other's.

    Raises
    ------
    BadRowError
        If there is none, naming the nearest, or two.
    """
    given = frozenset(keys)
    found = [one for one in SHAPES if one.keys <= given]
    most = [one for one in found if not any(one.keys < other.keys for other in found)]
    if len(most) > 1:
        raise BadRowError(
            AMBIGUOUS,
            problem=f"this could be {' or '.join(one.in_words for one in most)}; "
            "say with 'fields' which to take",
        )
    if not most or (most[0].keeps_others and given & _NOT_FOR_REWARDS):
        raise _not_known(given)
    return most[0]


def _not_known(given: frozenset[str]) -> BadRowError:
    nearest = max(SHAPES, key=lambda one: (len(one.keys & given), -len(one.keys)))
    if nearest.keeps_others:  # all its keys are there; what is near is a shape with more
        others = [one for one in SHAPES if one.keys & given & _NOT_FOR_REWARDS]
        nearest = max(others, key=lambda one: (len(one.keys & given), -len(one.keys)))
    if not nearest.keys & given:
        listed = ", ".join(f"'{key}'" for key in sorted(given - set(ORIGIN))) or "nothing"
        return BadRowError(UNKNOWN, problem=f"none of the known shapes, but {listed}")
    missing = sorted(nearest.keys - given)
    return BadRowError(MISSING, missing[0], f"is missing; the nearest shape is {nearest.in_words}")
