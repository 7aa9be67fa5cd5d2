"""The web application: API, health, and the chat page."""

from __future__ import annotations

from typing import Literal

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from modelwright import __version__
from modelwright.data.feedback.table import FeedbackTable
from modelwright.inference.background import BackgroundEngine
from modelwright.serving.access.authentication import Authentication
from modelwright.serving.access.body_limit import BodyLimit
from modelwright.serving.access.keys import KeyFile
from modelwright.serving.access.origin_guard import OriginGuard
from modelwright.serving.access.request_id import RequestId
from modelwright.serving.api.embeddings import embeddings_router
from modelwright.serving.api.feedback import feedback_router
from modelwright.serving.api.routes import openai_router
from modelwright.serving.api.served_model import ServedModel
from modelwright.serving.api.tokenization import tokenization_router
from modelwright.serving.errors import install_error_handlers
from modelwright.serving.metrics import ServerMetrics
from modelwright.serving.page import page_router

MAX_BODY_BYTES = 10 * 2**20


class Health(BaseModel):
    """Answer of ``GET /health``."""

    status: Literal["ok", "stopped"]
    model: str
    chat: bool
    """Whether the model has learned to answer (else it continues text)."""


def create_app(
    background: BackgroundEngine,
    name: str,
    *,
    is_chat_model: bool = True,
    keys: KeyFile | None = None,
    feedback: FeedbackTable | None = None,
) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    background : BackgroundEngine
        Running; the caller stops it.
    name : str
        What clients call the model.
    is_chat_model : bool
        Whether it was fine-tuned to answer; decides how the chat page starts.
    keys : KeyFile, optional
        Who may use it; without keys, everybody on this machine, under its own names only.
    feedback : FeedbackTable, optional
        Where it is kept what people think of answers; the caller closes it.
    """
    app = FastAPI(
        title="Modelwright",
        version=__version__,
        docs_url=None,  # FastAPI's pages load their scripts from the internet
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, most_bytes=MAX_BODY_BYTES)
    if keys is not None:
        app.add_middleware(Authentication, keys=keys)
    app.add_middleware(OriginGuard, loopback_only=keys is None)
    app.add_middleware(RequestId)  # the outermost, so that refusals have one too
    install_error_handlers(app)
    served = ServedModel(background, name)
    app.include_router(openai_router(served))
    app.include_router(tokenization_router(served))
    app.include_router(embeddings_router(served))
    app.include_router(feedback_router(feedback))

    @app.get("/health", response_model=Health, responses={503: {"model": Health}})
    async def health() -> JSONResponse:
        is_ok = background.is_running
        state = Health(status="ok" if is_ok else "stopped", model=name, chat=is_chat_model)
        return JSONResponse(state.model_dump(), 200 if is_ok else 503)

    @app.get("/ready", response_model=Health, responses={503: {"model": Health}})
    async def ready() -> JSONResponse:
        return await health()

    metrics = ServerMetrics(background, name)
    background.on_token, background.on_end = metrics.on_token, metrics.on_end

    @app.get("/metrics", response_class=PlainTextResponse)
    async def read_metrics() -> PlainTextResponse:
        return PlainTextResponse(metrics.written(), media_type=CONTENT_TYPE_LATEST)

    app.include_router(page_router("chat"))
    return app
