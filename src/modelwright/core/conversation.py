"""What conversations are made of, in examples and in requests."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
"""Who can speak; a tool speaks when it gives the result of a call."""


class FunctionCall(TypedDict):
    """The name of a tool, and its arguments by name."""

    name: str
    arguments: dict[str, Any]


class ToolCall(TypedDict):
    """A tool that the assistant calls, in OpenAI's form with the arguments as an object."""

    type: Literal["function"]
    function: FunctionCall
    id: NotRequired[str]


class Message(TypedDict):
    """One message.

    An assistant's may hold ``tool_calls``, and ``reasoning_content``, what it thought before it
    spoke, for templates that know it; a tool's the ``name`` of the tool and the ``tool_call_id``.
    """

    role: Role
    content: str
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[ToolCall]]
    name: NotRequired[str]
    tool_call_id: NotRequired[str]


Tool = dict[str, Any]
"""The definition of a tool, as ``{"type": "function", "function": {"name": ..., "description": ...,
"parameters": {JSON schema}}}``."""
