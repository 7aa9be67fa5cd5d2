"""``POST /v1/chat/completions``."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from fastapi import Request, Response

from modelwright.inference.log_probabilities import TokenLogProbability
from modelwright.inference.sequence import FinishReason
from modelwright.serving.api.choices import Answer, Choices
from modelwright.serving.api.event_stream import EventStream, event
from modelwright.serving.api.logprobs import ChatLogprobs, chat_logprobs
from modelwright.serving.api.requests import ChatCompletionRequest
from modelwright.serving.api.responses import (
    AnswerMessage,
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatFinishReason,
    ChunkChoice,
    Delta,
    DeltaToolCall,
    Usage,
)
from modelwright.serving.api.served_model import ServedModel
from modelwright.serving.api.server_sent_events import DONE
from modelwright.serving.api.tools import Toolbox, ToolCall, ToolCallParser
from modelwright.serving.trace import trace_of


class AnswerReader:
    """Tells text from calls in what one choice says.

    Parameters
    ----------
    toolbox : Toolbox or None
        What may be called.
    """

    def __init__(self, toolbox: Toolbox | None):
        self._is_named = toolbox is not None and toolbox.mode == "named"
        self._parser = None
        if toolbox is not None:
            self._parser = ToolCallParser(toolbox.names, None if toolbox.calls_several else 1)

    def push(self, text: str, is_last: bool) -> tuple[str, list[ToolCall]]:
        """Take a piece; return the text and the calls that are certain by now."""
        if self._parser is None:
            return text, []
        said, functions = self._parser.push(text)
        if is_last:
            said += self._parser.finish()
        return said, [ToolCall.of(function) for function in functions]

    def reason(self, given: FinishReason) -> ChatFinishReason:
        """Why it ended; as at OpenAI, one tool that had to be called is no reason."""
        if self._parser is None or not self._parser.calls or given != "stop":
            return given
        return "stop" if self._is_named else "tool_calls"


async def start_chat(served: ServedModel, body: ChatCompletionRequest, request: Request) -> Choices:
    """Begin to answer a conversation."""
    messages = [message.for_template() for message in body.messages]
    prompt = await served.chat_prompt(messages, toolbox=body.toolbox)
    params = body.sampling(body.token_limit or served.context_length)
    if body.toolbox is not None:
        structure = body.toolbox.structure(served.tokenizer)
        params = [replace(one, structure=structure) for one in params]
    trace_of(request).asked = messages
    return await served.start([prompt], params, request)


async def answer_chat(
    served: ServedModel, body: ChatCompletionRequest, request: Request
) -> ChatCompletion | Response:
    """Answer a conversation, at once or as a stream."""
    choices = await start_chat(served, body, request)
    id, created = "chatcmpl-" + secrets.token_hex(12), int(time.time())
    if body.stream:
        chunk = ChatCompletionChunk(id=id, created=created, model=served.name, choices=[])
        return EventStream(_events(served, body, choices, chunk), choices, served.limits)
    answers = await choices.collect(request)
    return ChatCompletion(
        id=id,
        created=created,
        model=served.name,
        choices=[_choice(served, body, index, answer) for index, answer in enumerate(answers)],
        usage=choices.usage,
    )


def _choice(
    served: ServedModel, body: ChatCompletionRequest, index: int, answer: Answer
) -> ChatChoice:
    reader = AnswerReader(body.toolbox)
    text, calls = reader.push(answer.text, is_last=True)
    return ChatChoice(
        index=index,
        message=AnswerMessage(content=text or (None if calls else ""), tool_calls=calls or None),
        logprobs=_logprobs(served, body, answer.alternatives),
        finish_reason=reader.reason(answer.finish_reason),
    )


def _logprobs(
    served: ServedModel, body: ChatCompletionRequest, found: Sequence[TokenLogProbability]
) -> ChatLogprobs | None:
    return chat_logprobs(found, served.tokenizer) if body.logprobs else None


async def _events(
    served: ServedModel,
    body: ChatCompletionRequest,
    choices: Choices,
    chunk: ChatCompletionChunk,
) -> AsyncIterator[str]:
    """Roles, then text and calls, then reasons, then (if wanted) usage."""

    def of(parts: list[ChunkChoice], usage: Usage | None = None) -> str:
        full = chunk.model_copy(update={"choices": parts, "usage": usage})
        return event(full, body.include_usage)

    readers = [AnswerReader(body.toolbox) for _ in range(len(choices))]
    called = [0] * len(choices)
    await choices.begun()
    start = Delta(role="assistant", content="")
    for index in range(len(choices)):
        yield of([ChunkChoice(index=index, delta=start)])
    async for index, update in choices:
        reason = update.finish_reason
        text, calls = readers[index].push(update.text, is_last=reason is not None)
        if text or update.alternatives:
            logprobs = _logprobs(served, body, update.alternatives)
            delta = Delta(content=text)
            yield of([ChunkChoice(index=index, delta=delta, logprobs=logprobs)])
        for call in calls:
            whole = DeltaToolCall(index=called[index], **call.model_dump())
            yield of([ChunkChoice(index=index, delta=Delta(tool_calls=[whole]))])
            called[index] += 1
        if reason:
            last = readers[index].reason(reason)
            yield of([ChunkChoice(index=index, delta=Delta(), finish_reason=last)])
    if body.include_usage:
        yield of([], choices.usage)
    yield DONE
