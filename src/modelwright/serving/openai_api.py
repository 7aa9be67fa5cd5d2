"""The routes below ``/v1``, in OpenAI's shape."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from modelwright.core.errors import InputError, ModelwrightError
from modelwright.inference.background import BackgroundEngine
from modelwright.inference.sampling import SamplingParams
from modelwright.serving.choices import Choices
from modelwright.serving.openai_errors import ModelNotFoundError, error_body
from modelwright.serving.openai_requests import (
    DEFAULT_COMPLETION_TOKENS,
    ChatCompletionRequest,
    CompletionRequest,
)
from modelwright.serving.openai_responses import (
    AnswerMessage,
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    ErrorResponse,
    ModelCard,
    ModelList,
    TextChoice,
    TextCompletion,
    Usage,
)

DONE = "data: [DONE]\n\n"
CLIENT_GONE = 499
"""What web servers log when nobody is left to read the answer."""

_ERRORS: dict[int | str, dict[str, object]] = {
    status: {"model": ErrorResponse} for status in (400, 404, 413, 415, 503)
}


@dataclass(frozen=True)
class ServedModel:
    """The one model of a server.

    Attributes
    ----------
    background : BackgroundEngine
        Generates.
    name : str
        What clients call it.
    created : int
        Since when it is served, in seconds since 1970.
    """

    background: BackgroundEngine
    name: str
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def card(self) -> ModelCard:
        """The model as the list of models shows it."""
        length = self.background.engine.context_length
        return ModelCard(id=self.name, created=self.created, max_model_len=length)

    def check_name(self, name: str) -> None:
        """Refuse any other model's name."""
        if name != self.name:
            raise ModelNotFoundError(
                f"the model '{name}' does not exist here", fix=f"use '{self.name}'"
            )

    async def chat_prompt(self, messages: list[dict[str, str]]) -> list[int]:
        """Token ids of a conversation, up to where the model answers."""
        # In a thread: a body of megabytes must not hold up everybody's streams.
        encode = self.background.engine.tokenizer.encode_chat
        return await run_in_threadpool(encode, messages, add_generation_prompt=True)

    async def text_prompt(self, prompt: str | list[int]) -> list[int]:
        """Token ids of a text to continue; it begins as documents do in training."""
        if isinstance(prompt, list):
            return prompt
        tokenizer = self.background.engine.tokenizer
        return [tokenizer.end_of_text, *await run_in_threadpool(tokenizer.encode, prompt)]

    def start(self, prompts: list[list[int]], params: list[SamplingParams]) -> Choices:
        """Begin to generate; raises as :class:`Choices`, and if it is more than can ever run."""
        wanted, most = len(prompts) * len(params), self.background.most_generations
        if wanted > most:
            raise InputError(f"{wanted} texts at once are too many", fix=f"ask for at most {most}")
        return Choices(self.background, prompts, params)


class EventStream(StreamingResponse):
    """Server-sent events; generation stops with them, however they end."""

    def __init__(self, events: AsyncIterator[str], choices: Choices):
        super().__init__(
            events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
        )
        self._choices = choices

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._choices.cancel()


def require_json(request: Request) -> None:
    """Refuse bodies that are not labelled as JSON, which web pages could send unasked."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, f"the content type must be application/json, not '{kind}'")


def openai_router(served: ServedModel) -> APIRouter:
    """The routes for one model."""
    router = APIRouter(prefix="/v1", responses=_ERRORS)
    json_only = [Depends(require_json)]

    @router.get("/models")
    async def list_models() -> ModelList:
        return ModelList(data=[served.card])

    @router.get("/models/{name:path}")
    async def get_model(name: str) -> ModelCard:
        served.check_name(name)
        return served.card

    @router.post("/chat/completions", response_model=ChatCompletion, dependencies=json_only)
    async def create_chat_completion(
        body: ChatCompletionRequest, request: Request
    ) -> ChatCompletion | Response:
        return await answer_chat(served, body, request)

    @router.post("/completions", response_model=TextCompletion, dependencies=json_only)
    async def create_completion(
        body: CompletionRequest, request: Request
    ) -> TextCompletion | Response:
        return await complete_text(served, body, request)

    return router


async def answer_chat(
    served: ServedModel, body: ChatCompletionRequest, request: Request
) -> ChatCompletion | Response:
    """Answer a conversation, at once or as a stream."""
    served.check_name(body.model)
    prompt = await served.chat_prompt([message.for_template() for message in body.messages])
    limit = body.token_limit or served.background.engine.context_length
    choices = served.start([prompt], body.sampling(limit))
    id, created = _new_id("chatcmpl-"), int(time.time())
    if body.stream:
        chunk = ChatCompletionChunk(id=id, created=created, model=served.name, choices=[])
        return EventStream(_chat_events(choices, chunk, body.include_usage), choices)
    results = await choices.collect(request)
    if results is None:
        return Response(status_code=CLIENT_GONE)
    answers = [
        ChatChoice(
            index=index,
            message=AnswerMessage(content=text),
            finish_reason=last.finish_reason or "abort",
        )
        for index, (text, last) in enumerate(results)
    ]
    return ChatCompletion(
        id=id, created=created, model=served.name, choices=answers, usage=choices.usage
    )


async def complete_text(
    served: ServedModel, body: CompletionRequest, request: Request
) -> TextCompletion | Response:
    """Continue one or more texts, at once or as a stream."""
    served.check_name(body.model)
    prompts = [await served.text_prompt(prompt) for prompt in body.prompt]
    choices = served.start(prompts, body.sampling(body.max_tokens or DEFAULT_COMPLETION_TOKENS))
    empty = TextCompletion(
        id=_new_id("cmpl-"), created=int(time.time()), model=served.name, choices=[]
    )
    if body.stream:
        return EventStream(_text_events(choices, empty, body.include_usage), choices)
    results = await choices.collect(request)
    if results is None:
        return Response(status_code=CLIENT_GONE)
    texts = [
        TextChoice(index=index, text=text, finish_reason=last.finish_reason)
        for index, (text, last) in enumerate(results)
    ]
    return empty.model_copy(update={"choices": texts, "usage": choices.usage})


async def _chat_events(
    choices: Choices, chunk: ChatCompletionChunk, include_usage: bool
) -> AsyncIterator[str]:
    """Events of a chat stream: roles, then text, then reasons, then (if wanted) usage."""

    def event(parts: list[ChunkChoice], usage: Usage | None = None) -> str:
        full = chunk.model_copy(update={"choices": parts, "usage": usage})
        return _event(full, include_usage)

    start = Delta(role="assistant", content="")
    for index in range(len(choices)):
        yield event([ChunkChoice(index=index, delta=start)])
    try:
        async for index, update in choices:
            if update.text:
                yield event([ChunkChoice(index=index, delta=Delta(content=update.text))])
            if update.finish_reason:
                reason = update.finish_reason
                yield event([ChunkChoice(index=index, delta=Delta(), finish_reason=reason)])
    except ModelwrightError as error:
        yield _error_event(error)
        return
    if include_usage:
        yield event([], choices.usage)
    yield DONE


async def _text_events(
    choices: Choices, chunk: TextCompletion, include_usage: bool
) -> AsyncIterator[str]:
    """Events of a text stream."""
    try:
        async for index, update in choices:
            if update.text or update.finish_reason:
                part = TextChoice(index=index, text=update.text, finish_reason=update.finish_reason)
                yield _event(chunk.model_copy(update={"choices": [part]}), include_usage)
    except ModelwrightError as error:
        yield _error_event(error)
        return
    if include_usage:
        yield _event(chunk.model_copy(update={"usage": choices.usage}), include_usage)
    yield DONE


def _event(chunk: ChatCompletionChunk | TextCompletion, include_usage: bool) -> str:
    # As OpenAI does: a delta has only what it changes, and no usage is shown unless wanted.
    content = chunk.model_dump(exclude=None if include_usage else {"usage"})
    for choice in content["choices"]:
        if "delta" in choice:
            choice["delta"] = {k: v for k, v in choice["delta"].items() if v is not None}
    return _data(content)


def _error_event(error: ModelwrightError) -> str:
    return _data(ErrorResponse(error=error_body(error)).model_dump())


def _data(content: dict[str, object]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"


def _new_id(prefix: str) -> str:
    return prefix + secrets.token_hex(12)
