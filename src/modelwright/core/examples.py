"""The rows of an examples artifact: five forms, and how they are read.

Whatever shape an example comes in (``data/shapes/``), it is stored in one of these forms.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from modelwright.core.conversation import Message, Tool
from modelwright.core.errors import InputError

TRAIN, HELD_OUT = "train.jsonl", "heldout.jsonl"
"""The files of an examples artifact."""

Form = Literal["conversation", "completion", "preference", "labelled", "prompt"]
FORMS: tuple[Form, ...] = ("conversation", "completion", "preference", "labelled", "prompt")
TO_FINETUNE: tuple[Form, ...] = ("conversation", "completion")
"""The forms that teach an answer; the others are for alignment."""

PLURALS: dict[Form, str] = {
    "conversation": "conversations",
    "completion": "completions",
    "preference": "preferences",
    "labelled": "labelled",
    "prompt": "prompts",
}
"""What manifests of examples count the forms as."""

TrainOn = Literal["all_turns", "last_turn"]
"""Whether all that the assistant says in a conversation is learnt, or what follows the user's last
message."""

ORIGIN = ("object", "source", "licence")
"""What every row has besides its content."""

Row = dict[str, Any]
"""A row as it stands in a file, in one of the forms."""

Texts = str | list[Message]
"""A text as it stands, or messages that the chat template renders."""


class Origin(TypedDict):
    """Where a row comes from."""

    object: str | None
    """Qualified name of what it is about."""
    source: str
    licence: str


class Conversation(Origin):
    """A conversation; what the assistant says is learnt."""

    messages: list[Message]
    tools: NotRequired[list[Tool]]


class Completion(Origin):
    """A prompt, and what is learnt to follow it; both are texts, or both are messages."""

    prompt: Texts
    completion: Texts
    tools: NotRequired[list[Tool]]


class Preference(Origin):
    """Two answers to a prompt, of which one is better, by a margin if it is known."""

    prompt: Texts
    chosen: Texts
    rejected: Texts
    margin: NotRequired[float]
    tools: NotRequired[list[Tool]]


class Labelled(Origin):
    """An answer to a prompt, and whether it is a good one."""

    prompt: Texts
    completion: Texts
    label: bool
    tools: NotRequired[list[Tool]]


class Prompt(Origin):
    """A prompt to answer; whatever else the row holds is for the reward (:func:`reward_fields`)."""

    prompt: Texts
    tools: NotRequired[list[Tool]]


def form_of(row: Mapping[str, Any]) -> Form | None:
    """The form of a row, by the names of its fields; None if it has none of the five."""
    if "messages" in row:
        return "conversation"
    if "prompt" not in row:
        return None
    if "chosen" in row or "rejected" in row:
        return "preference" if {"chosen", "rejected"} <= row.keys() else None
    if "completion" in row:
        return "labelled" if "label" in row else "completion"
    return "prompt"


def reward_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row with a prompt gives to the reward: all but prompt, tools and origin."""
    return {name: row[name] for name in row if name not in ("prompt", "tools", *ORIGIN)}


def read_examples(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield the rows of one file of an examples artifact, each with its place.

    Raises
    ------
    InputError
        If the file is missing, or a row is no JSON object or in none of the five forms.
    """
    if not path.is_file():
        raise InputError("the examples are missing", where=path, fix="check the folder")
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"{path}, line {number}"
                yield where, _parse(line, where)


def characters_in(row: Mapping[str, Any]) -> int:
    """Length of all texts of a row that are trained on or shown to the model."""
    fields = ("messages", "prompt", "completion", "chosen", "rejected")
    return sum(_characters(row.get(field)) for field in fields)


def _characters(texts: object) -> int:
    if isinstance(texts, str):
        return len(texts)
    messages = texts if isinstance(texts, list) else []
    return sum(_characters(one.get("content")) for one in messages if isinstance(one, dict))


def _parse(line: bytes, where: str) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"broken JSON: {error}", where=where, fix=_REMAKE) from None
    if not isinstance(row, dict) or form_of(row) is None:
        raise InputError("not an example in one of the known forms", where=where, fix=_REMAKE)
    return row


_REMAKE = "make the folder with 'modelwright examples', which says what is wrong with a row"
