"""Every failure as OpenAI's error object, with the status that its clients know."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from modelwright.core.errors import InputError, ModelwrightError
from modelwright.inference.admission import QueueFullError, ShareReachedError
from modelwright.inference.background import EngineStoppedError
from modelwright.inference.prompt_checks import ContextLengthError
from modelwright.inference.sampling import ParameterError
from modelwright.serving.api.strict_request import TOGETHER

INVALID_REQUEST, SERVER_ERROR = "invalid_request_error", "server_error"
RATE_LIMIT = "rate_limit_error"

MISSING = "missing_required_parameter"

CLIENT_GONE = 499
"""What web servers log when nobody is left to read the answer."""

_REASONS = {
    404: "there is nothing at this address",
    405: "this address does not take that method",
}


class ErrorBody(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(BaseModel):
    """Answer to every request that fails."""

    error: ErrorBody


class LimitReachedError(ModelwrightError):
    """A key has nothing left.

    Attributes
    ----------
    seconds : float
        Until it has.
    """

    def __init__(self, name: str, seconds: float):
        super().__init__(f"the key '{name}' has reached its limit", fix=f"wait {seconds:.1f} s")
        self.seconds = seconds


class ModelNotFoundError(ModelwrightError):
    """A model that this server does not have."""


class ClientGoneError(ModelwrightError):
    """Nobody waits for the answer any more."""


class DeadlineError(ModelwrightError):
    """A request that waited and ran for too long."""

    def __init__(self, seconds: float):
        super().__init__(
            f"the answer was not complete after {seconds:g} s, and was given up",
            fix="ask for less, or try again later",
        )


class SlowReaderError(ModelwrightError):
    """A client that does not read what it asked for."""


def install_error_handlers(app: FastAPI, models: Sequence[str] = ()) -> None:
    """Let every error of ``app`` leave it as an error object.

    Parameters
    ----------
    app : FastAPI
        Gets the handlers.
    models : sequence of str
        Names that a request can ask for, told where it names none.
    """
    app.add_exception_handler(ModelwrightError, _on_known_error)
    app.add_exception_handler(RequestValidationError, partial(_on_invalid_request, models))
    app.add_exception_handler(HTTPException, _on_http_error)


def error_response(
    status: int,
    message: str,
    *,
    type: str = INVALID_REQUEST,
    param: str | None = None,
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """A response with an error object."""
    error = ErrorBody(message=message, type=type, param=param, code=code)
    # Escaped to ASCII, because a message may quote what is no Unicode.
    content = json.dumps(ErrorResponse(error=error).model_dump())
    return Response(content, status, headers, media_type="application/json")


def limit_reached(error: LimitReachedError, headers: dict[str, str] | None = None) -> Response:
    """What is said to a key that has nothing left."""
    return error_response(
        429,
        _sentence(error),
        type=RATE_LIMIT,
        code="rate_limit_exceeded",
        headers={"Retry-After": str(math.ceil(error.seconds)), **(headers or {})},
    )


def either(models: Iterable[str]) -> str:
    """Names of models to choose from, in words."""
    return " or ".join(f"'{name}'" for name in models)


def internal_error() -> Response:
    """What is said of an error that nobody expected."""
    return error_response(500, "an error inside the server; its log says more", type=SERVER_ERROR)


def error_body(error: ModelwrightError) -> ErrorBody:
    """The error object of one of our errors, for streams that have begun."""
    param = None
    if isinstance(error, ShareReachedError):
        kind = RATE_LIMIT
    elif isinstance(error, ModelNotFoundError):
        kind, param = INVALID_REQUEST, "model"
    elif isinstance(error, ParameterError):
        kind, param = INVALID_REQUEST, _PARAMS.get(error.parameter, error.parameter)
    else:
        kind = INVALID_REQUEST if isinstance(error, InputError) else SERVER_ERROR
    return ErrorBody(message=_sentence(error), type=kind, param=param, code=_code(error))


async def _on_known_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ModelwrightError)
    if isinstance(error, LimitReachedError):
        return limit_reached(error)
    headers = None
    if isinstance(error, QueueFullError):
        headers = {"Retry-After": str(error.seconds)}
    body = error_body(error)
    return error_response(
        _status(error), body.message, type=body.type, param=body.param, code=body.code,
        headers=headers,
    )  # fmt: skip


async def _on_invalid_request(
    models: Sequence[str], request: Request, error: Exception
) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [dict(problem) for problem in error.errors()]
    message, param, code = _describe(problems[0])
    if (param, code) == ("model", MISSING) and models:
        message += f"; use {either(models)}"
    if len(problems) > 1:
        message += f" (and {len(problems) - 1} more)"
    return error_response(400, message, param=param, code=code)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = _REASONS.get(error.status_code, error.detail)
    headers = dict(error.headers) if error.headers else None
    kind = SERVER_ERROR if error.status_code >= 500 else INVALID_REQUEST
    return error_response(error.status_code, message, type=kind, headers=headers)


def _describe(problem: dict[str, Any]) -> tuple[str, str | None, str | None]:
    """Message, param and code for one thing that is wrong with a request's body."""
    kind, location = problem["type"], [str(part) for part in problem["loc"][1:]]
    if kind == "json_invalid":
        return f"the body is not JSON: {problem['ctx']['error']} at {location[0]}", None, None
    if kind == TOGETHER:
        field, reason = ".".join([*location, problem["ctx"]["field"]]), problem["msg"]
        return f"'{field}': {reason}" if location else reason, field, "invalid_value"
    param = ".".join(location) or None
    if param is None:
        reason = "missing" if kind == "missing" else _plain(problem["msg"])
        return f"the body is wrong: {reason}", None, None
    if kind == "extra_forbidden":
        return (
            f"'{param}' is unknown or not supported by this server; leave it out",
            param,
            "unknown_parameter",
        )
    if kind == "missing":
        return f"'{param}' is missing", param, MISSING
    return f"'{param}': {_plain(problem['msg'])}", param, "invalid_value"


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")


def _sentence(error: ModelwrightError) -> str:
    return f"{error.what}; {error.fix}" if error.fix else error.what


def _status(error: ModelwrightError) -> int:
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            return status
    return 400 if isinstance(error, InputError) else 500


def _code(error: ModelwrightError) -> str | None:
    return _CODES.get(type(error))


_STATUS: dict[type[ModelwrightError], int] = {
    ShareReachedError: 429,  # before the kind that it is one of
    QueueFullError: 503,
    EngineStoppedError: 503,
    DeadlineError: 504,
    ModelNotFoundError: 404,
    ClientGoneError: CLIENT_GONE,
}

_PARAMS = {
    "ignores_end": "ignore_eos",
    "alternatives": "logprobs",
    "prompt_alternatives": "logprobs",
}
"""What requests call a sampling parameter, where that is another name."""

_CODES: dict[type[ModelwrightError], str] = {
    ContextLengthError: "context_length_exceeded",
    ModelNotFoundError: "model_not_found",
    QueueFullError: "queue_full",
    ShareReachedError: "queue_share_reached",
    EngineStoppedError: "engine_stopped",
    DeadlineError: "deadline_exceeded",
    SlowReaderError: "too_slow_reader",
}
