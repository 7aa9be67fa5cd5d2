"""The routes below ``/v1``, in OpenAI's shape."""

from __future__ import annotations

from fastapi import APIRouter, Depends, HTTPException, Request, Response

from modelwright.serving.api.chat import answer_chat
from modelwright.serving.api.completions import complete_text
from modelwright.serving.api.requests import ChatCompletionRequest, CompletionRequest
from modelwright.serving.api.response_api.objects import ResponseObject
from modelwright.serving.api.response_api.requests import ResponseRequest
from modelwright.serving.api.response_api.route import respond
from modelwright.serving.api.responses import (
    ChatCompletion,
    ModelCard,
    ModelList,
    TextCompletion,
)
from modelwright.serving.api.served_models import ServedModels
from modelwright.serving.errors import ErrorResponse

ERRORS: dict[int | str, dict[str, object]] = {
    status: {"model": ErrorResponse} for status in (400, 401, 403, 404, 413, 415, 429, 503, 504)
}


OR_STREAM: dict[int | str, dict[str, object]] = {
    200: {
        "description": "The whole answer or, with `stream: true`, events.",
        "content": {"text/event-stream": {}},
    }
}
"""What FastAPI cannot see of routes that answer in either way."""


def require_json(request: Request) -> None:
    """Refuse bodies that are not labelled as JSON, which web pages could send unasked."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, f"the content type must be application/json, not '{kind}'")


def openai_router(models: ServedModels) -> APIRouter:
    """The routes for all models."""
    router = APIRouter(prefix="/v1", responses=ERRORS)
    json_only = [Depends(require_json)]

    @router.get("/models")
    async def list_models() -> ModelList:
        return ModelList(data=models.cards())

    @router.get("/models/{name:path}")
    async def get_model(name: str) -> ModelCard:
        return models.find(name).card(name)

    @router.post(
        "/chat/completions",
        response_model=ChatCompletion,
        responses=OR_STREAM,
        dependencies=json_only,
    )
    async def create_chat_completion(
        body: ChatCompletionRequest, request: Request
    ) -> ChatCompletion | Response:
        return await answer_chat(models.of(request, body.model), body, request)

    @router.post(
        "/completions",
        response_model=TextCompletion,
        responses=OR_STREAM,
        dependencies=json_only,
    )
    async def create_completion(
        body: CompletionRequest, request: Request
    ) -> TextCompletion | Response:
        return await complete_text(models.of(request, body.model), body, request)

    @router.post(
        "/responses",
        response_model=ResponseObject,
        responses=OR_STREAM,
        dependencies=json_only,
    )
    async def create_response(body: ResponseRequest, request: Request) -> ResponseObject | Response:
        return await respond(models.of(request, body.model), body, request)

    return router
