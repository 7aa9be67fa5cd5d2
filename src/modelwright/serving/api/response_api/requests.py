"""Body of ``POST /v1/responses``, and the chat request that it amounts to."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from modelwright.serving.api.content_parts import joined_text
from modelwright.serving.api.neutral import Absent, Empty, Off, neutral
from modelwright.serving.api.requests import ChatCompletionRequest
from modelwright.serving.api.response_format import JsonObjectFormat, TextFormat
from modelwright.serving.api.strict_request import StrictRequest, Text, together_error
from modelwright.serving.api.tools import MOST_TOOLS, FunctionDefinition

MOST_METADATA = 16

OWN_NAMES = {
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
}
"""What fields of chat requests are called here; the others have the same names."""


class FlatJsonSchema(StrictRequest):
    """JSON that fits a schema, as this route writes it."""

    type: Literal["json_schema"]
    name: Text
    description: Text | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None

    def for_chat(self) -> dict[str, Any]:
        """As chat requests write it."""
        named = {"name": self.name, "description": self.description, "schema": self.schema_}
        return {"type": "json_schema", "json_schema": named}


class TextSettings(StrictRequest):
    """Which form the text is to have."""

    format: (
        Annotated[TextFormat | JsonObjectFormat | FlatJsonSchema, Field(discriminator="type")]
        | None
    ) = None
    verbosity: Annotated[Any, neutral("medium")] = None


class FlatTool(FunctionDefinition):
    """A function that may be called, as this route writes it."""

    type: Literal["function"]


class FlatNamedTool(StrictRequest):
    """The tool that must be called, as this route writes it."""

    type: Literal["function"]
    name: Text


class InputMessage(StrictRequest):
    """A message of the conversation so far."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        Text,
        BeforeValidator(
            joined_text(["input_text", "output_text"]),
            json_schema_input_type=str | list[dict[str, Any]],
        ),
    ]
    # What an answer has that is sent back.
    id: Text | None = None
    status: Text | None = None
    phase: Absent = None


class InputCall(StrictRequest):
    """A call of a tool that was made before."""

    type: Literal["function_call"]
    call_id: Text
    name: Text
    arguments: Text
    id: Text | None = None
    status: Text | None = None


class InputResult(StrictRequest):
    """What the tool gave back."""

    type: Literal["function_call_output"]
    call_id: Text
    output: Text
    id: Text | None = None
    status: Text | None = None


def _with_type(item: Any) -> Any:
    """A message may leave its type out."""
    return {"type": "message", **item} if isinstance(item, dict) and "role" in item else item


def _as_items(value: Any) -> Any:
    """A text is what the user says."""
    return [{"role": "user", "content": value}] if isinstance(value, str) else value


InputItem = Annotated[
    Annotated[InputMessage | InputCall | InputResult, Field(discriminator="type")],
    BeforeValidator(_with_type),
]


class ResponseRequest(StrictRequest):
    """Body of ``POST /v1/responses``; nothing is kept between requests."""

    model: Text
    input: Annotated[
        list[InputItem],
        Field(min_length=1),
        BeforeValidator(_as_items, json_schema_input_type=str | list[InputItem]),
    ]
    instructions: Text | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stream: bool | None = None
    text: TextSettings | None = None
    tools: Annotated[list[FlatTool], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | FlatNamedTool | None = None
    parallel_tool_calls: bool | None = None
    metadata: Annotated[dict[Text, Text], Field(max_length=MOST_METADATA)] | None = Field(
        None, description="given back as it is"
    )
    user: Text | None = Field(None, description="accepted for the client's own use; has no effect")
    store: Off = None
    background: Off = None
    previous_response_id: Absent = None
    conversation: Absent = None
    prompt: Absent = None
    reasoning: Absent = None
    max_tool_calls: Absent = None
    stream_options: Absent = None
    include: Empty = None
    truncation: Annotated[Any, neutral("disabled")] = None
    service_tier: Annotated[Any, neutral("auto", "default")] = None
    top_logprobs: Annotated[Any, neutral(0)] = None

    @model_validator(mode="after")
    def _check_as_chat(self) -> ResponseRequest:
        try:
            self.as_chat()
        except ValidationError as error:  # of what does not go together
            raise _in_own_names(error.errors()[0]) from None
        return self

    def as_chat(self) -> ChatCompletionRequest:
        """The same as a chat request."""
        format = self.text.format if self.text else None
        if isinstance(format, FlatJsonSchema):
            response_format: Any = format.for_chat()
        else:
            response_format = format and format.model_dump()
        body = {
            "model": self.model,
            "messages": self._messages(),
            "max_completion_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "response_format": response_format,
            "tools": self._tools(),
            "tool_choice": self._tool_choice(),
            "parallel_tool_calls": self.parallel_tool_calls,
        }
        return ChatCompletionRequest.model_validate(body)

    def _tools(self) -> list[dict[str, Any]] | None:
        if self.tools is None:
            return None
        return [
            {"type": "function", "function": tool.model_dump(exclude={"type"})}
            for tool in self.tools
        ]

    def _tool_choice(self) -> Any:
        if isinstance(self.tool_choice, FlatNamedTool):
            return {"type": "function", "function": {"name": self.tool_choice.name}}
        return self.tool_choice

    def _messages(self) -> list[dict[str, Any]]:
        found = list[dict[str, Any]]()
        if self.instructions is not None:
            found.append({"role": "system", "content": self.instructions})
        for item in self.input:
            if isinstance(item, InputMessage):
                found.append({"role": item.role, "content": item.content})
            elif isinstance(item, InputResult):
                found.append({"role": "tool", "content": item.output, "tool_call_id": item.call_id})
            else:
                _add_call(found, item)
        return found


def _in_own_names(problem: ErrorDetails) -> PydanticCustomError:
    """An error of the chat request, for the field that it comes from."""
    location = list(map(str, problem["loc"]))
    field = (*location, problem.get("ctx", {}).get("field", ""))[0]
    reason = problem["msg"].removeprefix("Value error, ")
    for name, own in OWN_NAMES.items():
        reason = re.sub(rf"\b{name}\b", own, reason)  # not within a user's own names
    own = OWN_NAMES.get(field, field)
    return together_error(own, f"'{own}': {reason}" if location else reason)


def _add_call(messages: list[dict[str, Any]], call: InputCall) -> None:
    """Add a call to the assistant's message that it belongs to."""
    function = {"name": call.name, "arguments": call.arguments}
    made = {"id": call.call_id, "type": "function", "function": function}
    if messages and messages[-1]["role"] == "assistant":
        messages[-1].setdefault("tool_calls", []).append(made)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [made]})
