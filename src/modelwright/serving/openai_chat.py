"""``POST /v1/chat/completions``."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence

from fastapi import Request, Response

from modelwright.core.errors import ModelwrightError
from modelwright.inference.log_probabilities import TokenLogProbability
from modelwright.serving.authentication import account_of
from modelwright.serving.choices import CLIENT_GONE, Choices
from modelwright.serving.event_stream import DONE, EventStream, error_event, event
from modelwright.serving.openai_logprobs import ChatLogprobs, chat_logprobs
from modelwright.serving.openai_requests import ChatCompletionRequest
from modelwright.serving.openai_responses import (
    AnswerMessage,
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    Usage,
)
from modelwright.serving.served_model import ServedModel


async def answer_chat(
    served: ServedModel, body: ChatCompletionRequest, request: Request
) -> ChatCompletion | Response:
    """Answer a conversation, at once or as a stream."""
    served.check_name(body.model)
    prompt = await served.chat_prompt([message.for_template() for message in body.messages])
    params = body.sampling(body.token_limit or served.context_length)
    choices = served.start([prompt], params, account_of(request))
    id, created = "chatcmpl-" + secrets.token_hex(12), int(time.time())
    if body.stream:
        chunk = ChatCompletionChunk(id=id, created=created, model=served.name, choices=[])
        return EventStream(_events(served, body, choices, chunk), choices)
    answers = await choices.collect(request)
    if answers is None:
        return Response(status_code=CLIENT_GONE)
    return ChatCompletion(
        id=id,
        created=created,
        model=served.name,
        choices=[
            ChatChoice(
                index=index,
                message=AnswerMessage(content=answer.text),
                logprobs=_logprobs(served, body, answer.alternatives),
                finish_reason=answer.finish_reason,
            )
            for index, answer in enumerate(answers)
        ],
        usage=choices.usage,
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
    """Roles, then text, then reasons, then (if wanted) usage."""

    def of(parts: list[ChunkChoice], usage: Usage | None = None) -> str:
        full = chunk.model_copy(update={"choices": parts, "usage": usage})
        return event(full, body.include_usage)

    start = Delta(role="assistant", content="")
    for index in range(len(choices)):
        yield of([ChunkChoice(index=index, delta=start)])
    try:
        async for index, update in choices:
            if update.text or update.alternatives:
                logprobs = _logprobs(served, body, update.alternatives)
                delta = Delta(content=update.text)
                yield of([ChunkChoice(index=index, delta=delta, logprobs=logprobs)])
            if update.finish_reason:
                reason = update.finish_reason
                yield of([ChunkChoice(index=index, delta=Delta(), finish_reason=reason)])
    except ModelwrightError as error:
        yield error_event(error)
        return
    if body.include_usage:
        yield of([], choices.usage)
    yield DONE
