"""``/feedback``: what people think of answers goes into the workspace's table."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, HTTPException, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from modelwright.core.clock import now
from modelwright.core.errors import InputError
from modelwright.data.feedback.record import Feedback, Source, id_of
from modelwright.data.feedback.table import FeedbackTable
from modelwright.serving.api.routes import ERRORS, require_json
from modelwright.serving.errors import ErrorResponse

SOURCE: Source = "chat"

_STAMPED = {"source", "created"}
"""Fields that say where and when: not the client's to say."""


class FeedbackState(BaseModel):
    """Answer of ``GET /feedback``: whether it is kept at all."""

    is_kept: bool


class KeptFeedback(BaseModel):
    """Answer of ``POST /feedback``."""

    id: str
    is_new: bool


def feedback_router(table: FeedbackTable | None) -> APIRouter:
    """The routes; without a table they say that nothing is kept."""
    router = APIRouter(prefix="/feedback", responses={**ERRORS, 409: {"model": ErrorResponse}})

    def kept_in() -> FeedbackTable:
        if table is None:
            raise HTTPException(
                409,
                "this server keeps no feedback; start it in the folder of a workspace, which has a "
                "database",
            )
        return table

    @router.get("")
    async def state() -> FeedbackState:
        return FeedbackState(is_kept=table is not None)

    @router.post("", status_code=201, dependencies=[Depends(require_json)])
    async def give(body: Annotated[Feedback, Body()]) -> KeptFeedback:
        stamped = _STAMPED & body.model_fields_set
        if stamped:
            raise InputError(
                f"'{min(stamped)}' is filled in by the server", fix=f"leave out '{min(stamped)}'"
            )
        one = body.model_copy(update={"source": SOURCE, "created": now()})
        added = await run_in_threadpool(kept_in().add, [one])
        return KeptFeedback(id=id_of(one), is_new=added > 0)

    @router.delete("/{id}", status_code=204)
    async def take_back(id: str) -> Response:
        if not await run_in_threadpool(kept_in().take_back, id, SOURCE):
            raise HTTPException(404)
        return Response(status_code=204)

    return router
