"""The web application: API, health, and the chat page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from modelwright import __version__
from modelwright.data.feedback.table import FeedbackTable
from modelwright.monitoring.request_recorder import RequestRecorder
from modelwright.serving.access.authentication import Authentication
from modelwright.serving.access.body_limit import BodyLimit
from modelwright.serving.access.drain import Drain, DrainGate
from modelwright.serving.access.keys import KeyFile
from modelwright.serving.access.origin_guard import OriginGuard
from modelwright.serving.access.request_id import RequestId
from modelwright.serving.access_log import AccessLog, OnEnd
from modelwright.serving.api.embeddings import embeddings_router
from modelwright.serving.api.feedback import feedback_router
from modelwright.serving.api.routes import openai_router
from modelwright.serving.api.served_models import ServedModels
from modelwright.serving.api.tokenization import tokenization_router
from modelwright.serving.errors import install_error_handlers
from modelwright.serving.metrics import ServerMetrics
from modelwright.serving.page import page_router
from modelwright.serving.recording import record_trace

MAX_BODY_BYTES = 10 * 2**20


class Health(BaseModel):
    """Answer of ``GET /health``."""

    status: Literal["ok", "stopping", "stopped"]
    model: str
    """The first one's name."""
    chat: bool
    """Whether it has learned to answer (else it continues text)."""


def create_app(
    models: ServedModels,
    *,
    keys: KeyFile | None = None,
    feedback: FeedbackTable | None = None,
    drain: Drain | None = None,
    recorder: RequestRecorder | None = None,
    on_end: Sequence[OnEnd] = (),
) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    models : ServedModels
        Their engines run; the caller stops them.
    keys : KeyFile, optional
        Who may use it; without keys, everybody on this machine, under its own names only.
    feedback : FeedbackTable, optional
        Where it is kept what people think of answers; the caller closes it.
    drain : Drain, optional
        Tells when the end was asked for; never by default.
    recorder : RequestRecorder, optional
        Is told of requests that generate; the caller runs it.
    on_end : sequence of callable
        Told of every request once it has ended.
    """
    drain = drain or Drain(0)
    metrics = ServerMetrics(models.engines, recorder)
    told = [metrics.on_request, *on_end]
    if recorder is not None:
        told.append(partial(record_trace, recorder))
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
    app.add_middleware(DrainGate, drain=drain)
    app.add_middleware(AccessLog, on_end=told)
    app.add_middleware(RequestId)  # the outermost, so that refusals have one too
    install_error_handlers(app, models.names)
    app.include_router(openai_router(models))
    app.include_router(tokenization_router(models))
    app.include_router(embeddings_router(models))
    app.include_router(feedback_router(feedback))

    def health_of(is_ready: bool) -> JSONResponse:
        is_ok = models.are_running
        status = "stopped" if not is_ok else "stopping" if drain.has_begun else "ok"
        first = models.first
        state = Health(status=status, model=first.name, chat=first.is_chat)
        return JSONResponse(state.model_dump(), 200 if is_ok and is_ready else 503)

    @app.get("/health", response_model=Health, responses={503: {"model": Health}})
    async def health() -> JSONResponse:
        return health_of(is_ready=True)

    @app.get("/ready", response_model=Health, responses={503: {"model": Health}})
    async def ready() -> JSONResponse:
        return health_of(is_ready=not drain.has_begun)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def read_metrics() -> PlainTextResponse:
        return PlainTextResponse(metrics.written(), media_type=CONTENT_TYPE_LATEST)

    app.include_router(page_router("chat"))
    return app
