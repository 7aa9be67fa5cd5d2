"""Messages of a chat request."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from modelwright.serving.api.content_parts import joined_text
from modelwright.serving.api.neutral import Absent, Empty
from modelwright.serving.api.strict_request import StrictRequest, Text, together_error


class TextPart(StrictRequest):
    """A piece of a message's content."""

    type: Literal["text"]
    text: str


class CalledFunction(StrictRequest):
    """What was called, with the arguments as JSON in a text."""

    name: Text
    arguments: Text

    def parsed(self) -> dict[str, Any]:
        """The arguments by name; raises ValueError if they are none."""
        found = json.loads(self.arguments or "{}")
        if not isinstance(found, dict):
            raise ValueError("arguments are no JSON object")
        return found


class MadeCall(StrictRequest):
    """A call of a tool that the assistant made before."""

    id: Text
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None  # clients that put a stream together leave it in

    @model_validator(mode="after")
    def _check_arguments(self) -> MadeCall:
        try:
            self.function.parsed()
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the arguments of '{self.function.name}': {error}") from None
        return self


class ChatMessage(StrictRequest):
    """One message of a conversation; ``developer`` is the newer name of ``system``."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: (
        Annotated[
            Text,
            BeforeValidator(joined_text(["text"]), json_schema_input_type=str | list[TextPart]),
        ]
        | None
    ) = None
    tool_calls: list[MadeCall] | None = None
    tool_call_id: Text | None = Field(None, description="which call a tool answers")
    name: Absent = None
    # Clients send back what they were given with an earlier answer.
    refusal: Absent = None
    audio: Absent = None
    function_call: Absent = None
    annotations: Empty = None

    @model_validator(mode="after")
    def _check_parts(self) -> ChatMessage:
        if self.tool_calls and self.role != "assistant":
            raise together_error("tool_calls", "only the assistant makes tool_calls")
        if self.content is None and not self.tool_calls:
            raise together_error("content", "content is missing")
        if (self.role == "tool") != (self.tool_call_id is not None):
            raise together_error(
                "tool_call_id", "a tool's message, and only that, has a tool_call_id"
            )
        return self

    def for_template(self) -> dict[str, Any]:
        """The message as the chat template takes it."""
        found: dict[str, Any] = {
            "role": "system" if self.role == "developer" else self.role,
            "content": self.content or "",
        }
        if self.tool_calls:
            found["tool_calls"] = [
                {
                    "type": "function",
                    "id": call.id,
                    "function": {"name": call.function.name, "arguments": call.function.parsed()},
                }
                for call in self.tool_calls
            ]
        if self.tool_call_id is not None:
            found["tool_call_id"] = self.tool_call_id
        return found
