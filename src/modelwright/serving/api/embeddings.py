"""``/v1/embeddings``, and ``/score``, which compares texts by their embeddings."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import torch
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, BeforeValidator, Field
from torch import Tensor

from modelwright.core.errors import InputError
from modelwright.inference.background import BackgroundEngine
from modelwright.inference.engine import Engine
from modelwright.serving.access.authentication import account_of
from modelwright.serving.api.requests import prompt_list
from modelwright.serving.api.routes import ERRORS, require_json
from modelwright.serving.api.served_model import ServedModel
from modelwright.serving.api.served_models import ServedModels
from modelwright.serving.api.strict_request import StrictRequest, Text
from modelwright.serving.api.waiting import unless_gone
from modelwright.serving.errors import DeadlineError
from modelwright.serving.trace import trace_of

MOST_TEXTS = 2048
"""Of one request, as at OpenAI."""

TOKENS_AT_ONCE = 512
"""After which streams of others get their turn; a longer text is read in one go."""


def _texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[
    list[Text],
    Field(min_length=1, max_length=MOST_TEXTS),
    BeforeValidator(_texts, json_schema_input_type=str | list[str]),
]


class EmbeddingRequest(StrictRequest):
    """Body of ``POST /v1/embeddings``."""

    model: Text
    input: Annotated[
        list[Text | list[int]],
        Field(max_length=MOST_TEXTS),
        BeforeValidator(
            prompt_list, json_schema_input_type=str | list[str] | list[int] | list[list[int]]
        ),
    ]
    encoding_format: Literal["float", "base64"] | None = None
    user: Text | None = Field(None, description="accepted for the client's own use; has no effect")


class EmbeddingUsage(BaseModel):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class Embedding(BaseModel):
    """Of one text; in base64 as little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingList(BaseModel):
    """Answer of ``POST /v1/embeddings``, in the order of the input."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class ScoreRequest(StrictRequest):
    """Body of ``POST /score``: one text and several, or as many of both."""

    model: Text
    text_1: Texts
    text_2: Texts


class Score(BaseModel):
    """How near two texts are, from -1 to 1."""

    index: int
    object: Literal["score"] = "score"
    score: float


class ScoreList(BaseModel):
    """Answer of ``POST /score``, in the order of the texts."""

    object: Literal["list"] = "list"
    created: int
    data: list[Score]
    model: str
    usage: EmbeddingUsage


def embeddings_router(models: ServedModels) -> APIRouter:
    """The routes for all models."""
    router = APIRouter(responses=ERRORS, dependencies=[Depends(require_json)])

    @router.post("/v1/embeddings")
    async def create_embeddings(body: EmbeddingRequest, request: Request) -> EmbeddingList:
        served = models.of(request, body.model)
        vectors, tokens = await _embedded(served, body.input, request)
        is_base64 = body.encoding_format == "base64"
        return EmbeddingList(
            data=[
                Embedding(index=index, embedding=_base64(row) if is_base64 else row.tolist())
                for index, row in enumerate(vectors)
            ],
            model=served.name,
            usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        )

    @router.post("/score")
    async def score(body: ScoreRequest, request: Request) -> ScoreList:
        served = models.of(request, body.model)
        first, second = body.text_1, body.text_2
        if len(first) not in (1, len(second)):
            raise InputError(
                f"{len(first)} texts cannot be compared with {len(second)}",
                fix="give one text_1, or as many as text_2",
            )
        vectors, tokens = await _embedded(served, [*first, *second], request)
        products = (vectors[: len(first)] * vectors[len(first) :]).sum(dim=-1)
        nearness = products.clamp(-1, 1)  # rounding may go beyond
        return ScoreList(
            created=int(time.time()),
            data=[Score(index=index, score=float(one)) for index, one in enumerate(nearness)],
            model=served.name,
            usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        )

    return router


async def _embedded(
    served: ServedModel, texts: Sequence[str | list[int]], request: Request
) -> tuple[Tensor, int]:
    """Embeddings (N, C), and how many tokens were read."""
    background = served.background
    if not isinstance(background, BackgroundEngine):
        raise InputError(
            "embeddings and scores are not offered where another engine runs the model",
            fix="serve the model without --engine vllm",
        )
    prompts = [await served.text_prompt(text) for text in texts]
    background.engine.check_embeddable(prompts)
    trace, account = trace_of(request), account_of(request)
    tokens = sum(map(len, prompts))
    with background.place(None if account is None else account.key.name):
        if account is not None:
            account.take_tokens(tokens)
        trace.read_tokens = tokens
        seconds = served.limits.deadline
        try:
            async with asyncio.timeout(seconds):
                work = _embed_by_parts(background, served.adapter, prompts)
                return await unless_gone(request.receive, work), tokens
        except TimeoutError:
            raise DeadlineError(seconds or 0.0) from None


async def _embed_by_parts(
    background: BackgroundEngine, adapter: str | None, prompts: list[list[int]]
) -> Tensor:
    """Part by part; one that has not begun when nobody waits for it any more never does."""
    parts = list[Tensor]()
    for part in _parts_of(prompts):
        future = background.call(partial(Engine.embed, sequences=part, adapter=adapter))
        rows: list[Tensor] = await asyncio.wrap_future(future)
        parts += rows
    return torch.stack(parts)


def _parts_of(prompts: list[list[int]]) -> Iterator[list[list[int]]]:
    part, tokens = list[list[int]](), 0
    for prompt in prompts:
        if part and tokens + len(prompt) > TOKENS_AT_ONCE:
            yield part
            part, tokens = [], 0
        part.append(prompt)
        tokens += len(prompt)
    yield part


def _base64(row: Tensor) -> str:
    return base64.b64encode(row.numpy().astype("<f4").tobytes()).decode()
