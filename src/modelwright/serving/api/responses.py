"""Responses of the OpenAI-shaped API."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from modelwright.inference.sequence import FinishReason
from modelwright.serving.api.logprobs import ChatLogprobs, TextLogprobs
from modelwright.serving.api.tools import ToolCall

ChatFinishReason = FinishReason | Literal["tool_calls"]


class Usage(BaseModel):
    """Numbers of tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    """What the model said."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    tool_calls: list[ToolCall] | None = None


class ChatChoice(BaseModel):
    """One of the ``n`` answers."""

    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: ChatFinishReason


class ChatCompletion(BaseModel):
    """Answer of ``POST /v1/chat/completions``."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class DeltaToolCall(ToolCall):
    """A call in a chunk, always whole."""

    index: int


class Delta(BaseModel):
    """What a chunk adds to an answer."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[DeltaToolCall] | None = None


class ChunkChoice(BaseModel):
    """One answer's part of a chunk."""

    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: ChatFinishReason | None = None


class ChatCompletionChunk(BaseModel):
    """One event of a streamed chat answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


class TextChoice(BaseModel):
    """One completion, or one completion's part of a streamed event."""

    index: int
    text: str
    logprobs: TextLogprobs | None = None
    finish_reason: FinishReason | None


class TextCompletion(BaseModel):
    """Answer, or one event of a streamed answer, of ``POST /v1/completions``."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage | None = None


class ModelCard(BaseModel):
    """One name of the list.

    ``root`` is the model behind an alias, else its own name; ``parent`` the base of an adapter.
    ``chat`` says whether it was taught to answer.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "modelwright"
    max_model_len: int
    root: str
    parent: str | None = None
    chat: bool


class ModelList(BaseModel):
    """Answer of ``GET /v1/models``."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
