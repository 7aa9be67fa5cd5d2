"""What ``POST /v1/responses`` answers."""

from __future__ import annotations

import secrets
from typing import Any, Literal

from pydantic import BaseModel

from modelwright.serving.api.responses import Usage
from modelwright.serving.api.tools import ToolCall

Status = Literal["in_progress", "completed", "incomplete"]


class OutputText(BaseModel):
    """A text that the model said."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[None] = []
    logprobs: list[None] = []


class OutputMessage(BaseModel):
    """A message of the model."""

    type: Literal["message"] = "message"
    id: str
    role: Literal["assistant"] = "assistant"
    status: Status
    content: list[OutputText]


class OutputCall(BaseModel):
    """A call of a tool."""

    type: Literal["function_call"] = "function_call"
    id: str
    call_id: str
    name: str
    arguments: str
    status: Status = "completed"

    @classmethod
    def of(cls, call: ToolCall) -> OutputCall:
        """From a call of a chat answer."""
        function = call.function
        return cls(
            id=new_id("fc"), call_id=call.id, name=function.name, arguments=function.arguments
        )


class InputDetails(BaseModel):
    """Which tokens were read again."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputDetails(BaseModel):
    """Which tokens were thought."""

    reasoning_tokens: int = 0


class ResponseUsage(BaseModel):
    """Numbers of tokens."""

    input_tokens: int
    input_tokens_details: InputDetails = InputDetails()
    output_tokens: int
    output_tokens_details: OutputDetails = OutputDetails()
    total_tokens: int

    @classmethod
    def of(cls, usage: Usage) -> ResponseUsage:
        """From that of a chat answer."""
        return cls(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
        )


class IncompleteDetails(BaseModel):
    """Why it is not whole."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ResponseObject(BaseModel):
    """An answer with what it was asked for."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Status
    error: None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputMessage | OutputCall] = []
    parallel_tool_calls: bool
    previous_response_id: None = None
    store: Literal[False] = False
    temperature: float
    text: dict[str, Any]
    tool_choice: Any
    tools: list[dict[str, Any]]
    top_p: float
    truncation: Literal["disabled"] = "disabled"
    usage: ResponseUsage | None = None
    user: str | None


def new_id(kind: str) -> str:
    """An id that nothing else has."""
    return f"{kind}_{secrets.token_hex(12)}"


def message(id: str, text: str, status: Status) -> OutputMessage:
    """A message with one text."""
    return OutputMessage(id=id, status=status, content=[OutputText(text=text)])
