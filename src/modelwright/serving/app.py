"""The web application: API, health, and the chat page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, Protocol

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import Metric
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
from modelwright.serving.metrics import ServerMetrics, written
from modelwright.serving.page import page_router
from modelwright.serving.recording import record_trace

MAX_BODY_BYTES = 10 * 2**20


class Health(BaseModel):
    """Answer of ``GET /health``."""

    status: Literal["ok", "stopping", "stopped", "incomplete"]
    model: str
    """The first one's name."""
    chat: bool
    """Whether it has learned to answer (else it continues text)."""
    reason: str | None = None
    """What is not there yet, or any more."""


class Replicas(Protocol):
    """All servers behind one address, this one among them."""

    async def missing(self) -> str | None:
        """Which are not there; None if all are."""

    async def collected(self) -> Sequence[Metric]:
        """What all have counted."""


def create_app(
    models: ServedModels,
    *,
    keys: KeyFile | None = None,
    feedback: FeedbackTable | None = None,
    drain: Drain | None = None,
    recorder: RequestRecorder | None = None,
    on_end: Sequence[OnEnd] = (),
    metrics: ServerMetrics | None = None,
    replicas: Replicas | None = None,
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
    metrics : ServerMetrics, optional
        Where it is counted; new ones by default.
    replicas : Replicas, optional
        Asked for what ``/ready`` and ``/metrics`` say, where this is one server of several.
    """
    drain = drain or Drain(0)
    metrics = metrics or ServerMetrics(models.engines, recorder)
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

    def health_of(is_ready: bool, missing: str | None = None) -> JSONResponse:
        status: Literal["ok", "stopping", "stopped", "incomplete"] = "ok"
        if not models.are_running:
            status = "stopped"
        elif drain.has_begun:
            status = "stopping"
        elif missing is not None:
            status = "incomplete"
        first = models.first
        state = Health(status=status, model=first.name, chat=first.is_chat, reason=missing)
        code = 200 if models.are_running and is_ready and missing is None else 503
        return JSONResponse(state.model_dump(exclude_none=True), code)

    @app.get("/health", response_model=Health, responses={503: {"model": Health}})
    async def health() -> JSONResponse:
        return health_of(is_ready=True)

    @app.get("/ready", response_model=Health, responses={503: {"model": Health}})
    async def ready() -> JSONResponse:
        missing = None if replicas is None else await replicas.missing()
        return health_of(is_ready=not drain.has_begun, missing=missing)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def read_metrics() -> PlainTextResponse:
        collected = metrics.collected() if replicas is None else await replicas.collected()
        return PlainTextResponse(written(collected), media_type=CONTENT_TYPE_LATEST)

    app.include_router(page_router("chat"))
    return app
