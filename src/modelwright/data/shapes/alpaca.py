"""The shape of Alpaca's data, with LLaMA-Factory's additions.

Fields: ``instruction``, ``input``, ``output``, ``system`` and ``history`` (pairs of what was said
before); ``chosen`` and ``rejected``, or ``kto_tag``, for alignment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelwright.core.conversation import Message, Role
from modelwright.core.examples import Row
from modelwright.data.shapes.fields import (
    EMPTY,
    WRONG_TYPE,
    BadRowError,
    checked_text,
    flag_field,
    text_field,
)
from modelwright.data.shapes.standard import pair, tools_of

IN_TURNS: tuple[Role, Role] = ("user", "assistant")


def conversation(row: Mapping[str, Any]) -> Row:
    """What is asked before, the instruction with its input, and the output."""
    return {"messages": [*_asked(row), _said(row, "output")], **tools_of(row)}


def preference(row: Mapping[str, Any]) -> Row:
    """The same with two outputs."""
    return pair(row, _asked(row), [_said(row, "chosen")], [_said(row, "rejected")])


def labelled(row: Mapping[str, Any]) -> Row:
    """The same with a tag that says whether the output is good."""
    read = {"prompt": _asked(row), "completion": [_said(row, "output")]}
    return {**read, "label": flag_field(row, "kto_tag"), **tools_of(row)}


def _asked(row: Mapping[str, Any]) -> list[Message]:
    messages: list[Message] = []
    system = text_field(row, "system", may_be_empty=True) if "system" in row else ""
    if system.strip():
        messages.append({"role": "system", "content": system})
    for number, turn in enumerate(_history(row)):
        for role, text in zip(IN_TURNS, turn, strict=True):
            content = checked_text(text, f"history[{number}]")
            messages.append({"role": role, "content": content})
    names = [name for name in ("instruction", "input") if name in row]
    parts = [text_field(row, name, may_be_empty=True) for name in names]
    question = "\n".join(part for part in parts if part.strip())
    if not question:
        raise BadRowError(EMPTY, "instruction", "is empty")
    return [*messages, {"role": "user", "content": question}]


def _history(row: Mapping[str, Any]) -> list[Any]:
    history = row.get("history", [])
    if not isinstance(history, list):
        raise BadRowError(WRONG_TYPE, "history", "is not a list of pairs of texts")
    for number, turn in enumerate(history):
        if not isinstance(turn, list) or len(turn) != 2:
            raise BadRowError(WRONG_TYPE, f"history[{number}]", "is not a pair of texts")
    return history


def _said(row: Mapping[str, Any], name: str) -> Message:
    return {"role": "assistant", "content": text_field(row, name)}
