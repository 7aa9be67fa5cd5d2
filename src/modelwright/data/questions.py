"""Questions about documented objects in several phrasings, some of which are held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from modelwright.data.sources.description import EntryKind
from modelwright.data.sources.python_docs import Entry
from modelwright.data.split import position

MAX_SIGNATURE = 80
"""Longer signatures, in characters, are given as ``(...)``: an answer is about the object."""

_TO_CALL = (
    "What does {name} do?",
    "Explain {name}.",
    "What is {name} for?",
    "Tell me about {name}.",
    "Describe the {kind} {name}.",
    "What happens when I call {name}?",
)
_TO_USE = (
    "What is {name}?",
    "Explain {name}.",
    "What is {name} for?",
    "Tell me about {name}.",
    "Describe the {kind} {name}.",
    "What does the {kind} {name} provide?",
)
TRAINING: dict[EntryKind, tuple[str, ...]] = {
    "function": _TO_CALL,
    "method": _TO_CALL,
    "class": _TO_USE,
    "module": _TO_USE,
}

_TO_CALL_HELD_OUT = ("Can you explain what {name} does?", "What is the purpose of {name}?")
_TO_USE_HELD_OUT = ("Can you explain what {name} is?", "What would I use {name} for?")
HELD_OUT: dict[EntryKind, tuple[str, ...]] = {
    "function": _TO_CALL_HELD_OUT,
    "method": _TO_CALL_HELD_OUT,
    "class": _TO_USE_HELD_OUT,
    "module": _TO_USE_HELD_OUT,
}

REVERSE = "Which {kind} fits this description? {summary}"


Turn = tuple[Entry, str, str]
"""An entry, a question about it, and the answer."""

TURNS = 3
"""Questions in a conversation of several turns."""


def training_questions(entries: Sequence[Entry]) -> Iterator[Turn]:
    """Yield (entry, question, answer) in every training phrasing, entries in the given order.

    The reverse question, from description to name, is asked only where it has one answer.
    """
    meanings = Counter((entry.kind, entry.summary) for entry in entries)
    for entry in entries:
        for phrasing in TRAINING[entry.kind]:
            yield entry, phrasing.format(name=entry.name, kind=entry.kind), answer(entry)
        if meanings[entry.kind, entry.summary] == 1:
            yield entry, REVERSE.format(kind=entry.kind, summary=entry.summary), entry.name


def training_conversations(turns: Sequence[Turn], seed: int) -> Iterator[list[Turn]]:
    """Half of the training questions again, in conversations about unrelated objects.

    Without them a model is only ever asked first questions, and loses its thread at the second.
    """
    mixed = sorted(turns, key=lambda turn: position(seed, turn[1]))
    for start in range(0, len(mixed) // 2 - TURNS + 1, TURNS):
        yield mixed[start : start + TURNS]


def held_out_questions(entries: Sequence[Entry]) -> Iterator[Turn]:
    """Yield (entry, question, answer) in the phrasings that training never sees."""
    for entry in entries:
        for phrasing in HELD_OUT[entry.kind]:
            yield entry, phrasing.format(name=entry.name, kind=entry.kind), answer(entry)


def answer(entry: Entry) -> str:
    """The object's name with its parameters, and what it is for."""
    is_long = len(entry.signature) > MAX_SIGNATURE
    return f"{entry.name}{'(...)' if is_long else entry.signature}: {entry.summary}"
