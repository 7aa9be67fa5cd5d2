"""``/v1/embeddings``, and ``/score``, which compares texts by their embeddings."""

from __future__ import annotations

import asyncio
import base64
import time
from functools import partial
from typing import Annotated, Any, Literal

import torch
from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, BeforeValidator, Field
from torch import Tensor

from modelwright.core.errors import InputError
from modelwright.inference.engine import Engine
from modelwright.serving.access.authentication import account_of
from modelwright.serving.api.choices import CLIENT_GONE
from modelwright.serving.api.requests import prompt_list
from modelwright.serving.api.routes import ERRORS, require_json
from modelwright.serving.api.served_model import ServedModel
from modelwright.serving.api.strict_request import StrictRequest, Text

MOST_TEXTS = 2048
"""Of one request, as at OpenAI."""

TEXTS_AT_ONCE = 16
"""After which streams of others get their turn."""


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


def embeddings_router(served: ServedModel) -> APIRouter:
    """The routes for one model."""
    router = APIRouter(responses=ERRORS, dependencies=[Depends(require_json)])

    async def embedded(texts: list[str | list[int]], request: Request) -> tuple[Tensor, int]:
        """Embeddings (N, C), and how many tokens were read."""
        prompts = [await served.text_prompt(text) for text in texts]
        served.background.engine.check_embeddable(prompts)
        tokens = sum(map(len, prompts))
        account = account_of(request)
        if account is not None:
            account.take_tokens(tokens)
        parts = list[Tensor]()
        for start in range(0, len(prompts), TEXTS_AT_ONCE):
            if await request.is_disconnected():
                raise HTTPException(CLIENT_GONE, "the client has gone away")
            part = prompts[start : start + TEXTS_AT_ONCE]
            future = served.background.call(partial(Engine.embed, sequences=part))
            rows: list[Tensor] = await asyncio.wrap_future(future)
            parts += rows
        return torch.stack(parts), tokens

    @router.post("/v1/embeddings")
    async def create_embeddings(body: EmbeddingRequest, request: Request) -> EmbeddingList:
        served.check_name(body.model)
        vectors, tokens = await embedded(body.input, request)
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
        served.check_name(body.model)
        first, second = body.text_1, body.text_2
        if len(first) not in (1, len(second)):
            raise InputError(
                f"{len(first)} texts cannot be compared with {len(second)}",
                fix="give one text_1, or as many as text_2",
            )
        vectors, tokens = await embedded([*first, *second], request)
        products = (vectors[: len(first)] * vectors[len(first) :]).sum(dim=-1)
        nearness = products.clamp(-1, 1)  # rounding may go beyond
        return ScoreList(
            created=int(time.time()),
            data=[Score(index=index, score=float(one)) for index, one in enumerate(nearness)],
            model=served.name,
            usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        )

    return router


def _base64(row: Tensor) -> str:
    return base64.b64encode(row.numpy().astype("<f4").tobytes()).decode()
