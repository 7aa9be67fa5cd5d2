"""The messages of a conversation, checked one by one and in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelwright.core.conversation import ROLES, Message, ToolCall
from modelwright.data.shapes.fields import (
    MISSING,
    WRONG_TYPE,
    BadRowError,
    checked_text,
    parsed,
    text_field,
)

KEYS = ("role", "content", "reasoning_content", "tool_calls", "name", "tool_call_id")
"""What a message may hold; what is null counts as not there."""

NO_ANSWER = "no answer of the assistant"
NOT_AT_THE_END = "no answer at the end"
UNKNOWN_KEY = "an unknown key in a message"
UNKNOWN_ROLE = "an unknown role"
SYSTEM_TWICE = "more than one message of the system"
SYSTEM_LATE = "a message of the system that is not the first"
ASSISTANT_FIRST = "a conversation that the assistant begins"
SAME_ROLE = "two messages of {role} in a row"
NOT_CALLED = "a message of a tool that was not called"
NO_RESULT = "a call without its result"


def read_messages(value: Any, name: str) -> list[Message]:
    """Messages with all that they hold checked, but not their order.

    Parameters
    ----------
    value : Any
        What the row holds.
    name : str
        The field it stands in, for errors.

    Raises
    ------
    BadRowError
        If a message is not as it should be.
    """
    if not isinstance(value, list) or not value:
        raise BadRowError(WRONG_TYPE, name, "is not a list of messages")
    return [_read_message(message, f"{name}[{n}]") for n, message in enumerate(value)]


def check_order(messages: Sequence[Message], name: str, ends_with_answer: bool = True) -> None:
    """Check who speaks after whom: system, then user and assistant in turns; tools when called.

    Parameters
    ----------
    messages : sequence of Message
        At least one.
    name : str
        The field they stand in, for errors.
    ends_with_answer : bool
        Whether the last is the assistant's, and not one that is to be answered.

    Raises
    ------
    BadRowError
        At the first message that stands where it should not.
    """
    roles = [message["role"] for message in messages]
    if ends_with_answer and "assistant" not in roles:
        raise BadRowError(NO_ANSWER, name, "holds no answer of the assistant to learn from")
    for number, message in enumerate(messages):
        reason = _misplaced(messages[number - 1] if number else None, message)
        if reason:
            raise BadRowError(reason, f"{name}[{number}]", f"is {reason}")
    if ends_with_answer and roles[-1] != "assistant":
        raise BadRowError(NOT_AT_THE_END, f"{name}[{len(roles) - 1}]", "is answered by nobody")
    if not ends_with_answer and roles[-1] not in ("user", "tool"):
        raise BadRowError(
            "a prompt that asks nothing",
            f"{name}[{len(roles) - 1}]",
            f"is the {roles[-1]}'s, where a prompt ends with what is to be answered",
        )


def _misplaced(before: Message | None, message: Message) -> str:
    """Why a message must not stand behind another (None: be the first); "" if it may."""
    role, last = message["role"], before["role"] if before else ""
    has_call = bool(before and before.get("tool_calls"))
    if role == "system":
        return "" if before is None else SYSTEM_TWICE if last == "system" else SYSTEM_LATE
    if role == "tool":
        return "" if has_call or last == "tool" else NOT_CALLED
    if role == "assistant" and last in ("", "system"):
        return ASSISTANT_FIRST
    if role == last:
        return SAME_ROLE.format(role=f"the {role}")
    if role == "user" and (has_call or last == "tool"):
        return NO_RESULT if has_call else "a result of a tool that the assistant does not answer"
    return ""


def _read_message(message: Any, name: str) -> Message:
    if not isinstance(message, dict):
        raise BadRowError(WRONG_TYPE, name, "is not an object with 'role' and 'content'")
    message = {
        key: value for key, value in message.items() if value is not None or key == "content"
    }
    for key in message:
        if key not in KEYS:
            raise BadRowError(UNKNOWN_KEY, f"{name}.{key}", f"is unknown; known: {', '.join(KEYS)}")
    role = text_field(message, "role", f"{name}.")
    if role not in ROLES:
        known = ", ".join(ROLES)
        raise BadRowError(UNKNOWN_ROLE, f"{name}.role", f"is '{role}', not one of {known}")
    calls = _read_calls(message, name)
    if calls and role != "assistant":
        raise BadRowError("a call by somebody else than the assistant", f"{name}.tool_calls")
    may_be_empty = bool(calls) or role == "tool"
    if may_be_empty and message.get("content") is None:
        message["content"] = ""
    checked: Message = {
        "role": role,
        "content": text_field(message, "content", f"{name}.", may_be_empty),
    }
    if "reasoning_content" in message:
        checked["reasoning_content"] = text_field(message, "reasoning_content", f"{name}.")
    if calls:
        checked["tool_calls"] = calls
    if "name" in message:
        checked["name"] = text_field(message, "name", f"{name}.")
    if "tool_call_id" in message:
        checked["tool_call_id"] = text_field(message, "tool_call_id", f"{name}.")
    return checked


def _read_calls(message: Mapping[str, Any], name: str) -> list[ToolCall]:
    calls = message.get("tool_calls", [])
    if not isinstance(calls, list):
        raise BadRowError(WRONG_TYPE, f"{name}.tool_calls", "is not a list of calls")
    return [read_call(call, f"{name}.tool_calls[{n}]") for n, call in enumerate(calls)]


def read_call(call: Any, name: str) -> ToolCall:
    """A call in OpenAI's form, or ``{"name": ..., "arguments": ...}`` alone.

    Raises
    ------
    BadRowError
        If it has no name, or its arguments are no object (nor JSON of one).
    """
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise BadRowError(WRONG_TYPE, name, "is not a call of a function")
    if "arguments" not in function:
        raise BadRowError(MISSING, f"{name}.arguments", "is missing")
    arguments = parsed(function["arguments"], f"{name}.arguments")
    if not isinstance(arguments, dict):
        raise BadRowError(WRONG_TYPE, f"{name}.arguments", "is not an object")
    read: ToolCall = {
        "type": "function",
        "function": {"name": text_field(function, "name", f"{name}."), "arguments": arguments},
    }
    if call.get("id") is not None:
        read["id"] = checked_text(call["id"], f"{name}.id")
    return read
