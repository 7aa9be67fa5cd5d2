"""The shape of ShareGPT's data, with LLaMA-Factory's additions.

``conversations`` is a list of ``from`` and ``value``; ``chosen`` and ``rejected`` are a message
each, and ``kto_tag`` says whether the last one is good.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelwright.core.conversation import Message, Role
from modelwright.core.examples import Row
from modelwright.data.shapes.fields import (
    WRONG_TYPE,
    BadRowError,
    flag_field,
    parsed,
    text_field,
)
from modelwright.data.shapes.standard import pair, tools_of
from modelwright.data.shapes.turns import (
    UNKNOWN_KEY,
    UNKNOWN_ROLE,
    check_order,
    read_call,
)

CALL = "function_call"
SPEAKERS: Mapping[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    CALL: "assistant",
    "observation": "tool",
    "tool": "tool",
}


def conversation(row: Mapping[str, Any]) -> Row:
    """A conversation that ends with an answer."""
    messages = _messages(row)
    check_order(messages, "conversations")
    return {"messages": messages, **tools_of(row)}


def preference(row: Mapping[str, Any]) -> Row:
    """A conversation that ends with a question, and two answers to it."""
    chosen, rejected = (_message(row[name], name) for name in ("chosen", "rejected"))
    return pair(row, _messages(row), [chosen], [rejected])


def labelled(row: Mapping[str, Any]) -> Row:
    """A conversation whose last answer is good, or is not."""
    messages = _messages(row)
    check_order(messages, "conversations")
    read = {"prompt": messages[:-1], "completion": messages[-1:]}
    return {**read, "label": flag_field(row, "kto_tag"), **tools_of(row)}


def _messages(row: Mapping[str, Any]) -> list[Message]:
    turns = row["conversations"]
    if not isinstance(turns, list) or not turns:
        raise BadRowError(WRONG_TYPE, "conversations", "is not a list of 'from' and 'value'")
    messages = [_message(turn, f"conversations[{number}]") for number, turn in enumerate(turns)]
    if "system" in row:
        system = text_field(row, "system", may_be_empty=True)
        if system.strip():
            messages.insert(0, {"role": "system", "content": system})
    return messages


def _message(turn: Any, name: str) -> Message:
    if not isinstance(turn, dict):
        raise BadRowError(WRONG_TYPE, name, "is not an object with 'from' and 'value'")
    for key, value in turn.items():
        if key not in ("from", "value") and value is not None:
            raise BadRowError(UNKNOWN_KEY, f"{name}.{key}", "is unknown; known: from, value")
    speaker = text_field(turn, "from", f"{name}.")
    if speaker not in SPEAKERS:
        known = ", ".join(SPEAKERS)
        raise BadRowError(UNKNOWN_ROLE, f"{name}.from", f"is '{speaker}', not one of {known}")
    value = text_field(turn, "value", f"{name}.", may_be_empty=SPEAKERS[speaker] == "tool")
    if speaker != CALL:
        return {"role": SPEAKERS[speaker], "content": value}
    calls = parsed(value, f"{name}.value")
    listed = calls if isinstance(calls, list) else [calls]
    read = [read_call(call, f"{name}.value") for call in listed]
    return {"role": "assistant", "content": "", "tool_calls": read}
