"""The web application behind the page that compares two answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from modelwright import __version__
from modelwright.serving.access.body_limit import BodyLimit
from modelwright.serving.access.origin_guard import OriginGuard
from modelwright.serving.api.routes import require_json
from modelwright.serving.comparing.comparison import (
    Comparison,
    OutOfStepError,
    Result,
    Shown,
    Verdict,
)
from modelwright.serving.errors import install_error_handlers
from modelwright.serving.page import page_router

MAX_BODY_BYTES = 4096


@dataclass(frozen=True)
class State:
    """All that the page shows.

    Attributes
    ----------
    done, total : int
        Pairs behind us, and all.
    can_undo : bool
        Whether there is something to take back.
    pair : Shown or None
        The pair to judge; None while its answers are being written, and at the end.
    result : Result or None
        Only at the end: the models' names are in it.
    """

    done: int
    total: int
    can_undo: bool
    pair: Shown | None
    result: Result | None


class JudgeRequest(BaseModel):
    """Body of ``POST /judge``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    number: Annotated[int, Field(ge=0)]
    verdict: Verdict


class UndoRequest(BaseModel):
    """Body of ``POST /undo``: the number of pairs that were done."""

    model_config = ConfigDict(extra="forbid", strict=True)

    done: Annotated[int, Field(ge=0)]


def create_compare_app(comparison: Comparison) -> FastAPI:
    """Build the application for one comparison, which nobody else may use meanwhile."""
    app = FastAPI(title="Modelwright compare", version=__version__, docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, most_bytes=MAX_BODY_BYTES)
    app.add_middleware(OriginGuard)
    install_error_handlers(app)
    app.include_router(page_router("compare"))
    json_only = [Depends(require_json)]

    # All of these run in the event loop, one at a time: a comparison is not for several threads.

    @app.get("/state")
    async def state() -> State:
        return state_of(comparison)

    @app.post("/judge", dependencies=json_only)
    async def judge(body: JudgeRequest) -> State:
        try:
            comparison.judge(body.number, body.verdict)
        except OutOfStepError as error:
            raise HTTPException(409, error.what) from None
        return state_of(comparison)

    @app.post("/undo", dependencies=json_only)
    async def undo(body: UndoRequest) -> State:
        if body.done == comparison.done:  # else another window, or a second press, was faster
            comparison.undo()
        return state_of(comparison)

    return app


def state_of(comparison: Comparison) -> State:
    """What the page may know now."""
    shown = comparison.current()
    is_done = comparison.done == comparison.total
    return State(
        done=comparison.done,
        total=comparison.total,
        can_undo=comparison.can_undo,
        pair=shown,
        result=comparison.result() if is_done else None,
    )
