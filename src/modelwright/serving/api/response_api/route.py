"""``POST /v1/responses``, without a memory: every request brings its whole conversation."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from fastapi import Request, Response

from modelwright.core.errors import ModelwrightError
from modelwright.serving.api.chat import AnswerReader, start_chat
from modelwright.serving.api.choices import CLIENT_GONE, Choices
from modelwright.serving.api.event_stream import EventStream
from modelwright.serving.api.requests import DEFAULT_TEMPERATURE
from modelwright.serving.api.response_api.events import EventWriter
from modelwright.serving.api.response_api.objects import (
    IncompleteDetails,
    OutputCall,
    OutputMessage,
    ResponseObject,
    ResponseUsage,
    message,
    new_id,
)
from modelwright.serving.api.response_api.requests import ResponseRequest
from modelwright.serving.api.served_model import ServedModel
from modelwright.serving.api.tools import Toolbox
from modelwright.serving.errors import error_body


async def respond(
    served: ServedModel, body: ResponseRequest, request: Request
) -> ResponseObject | Response:
    """Answer, at once or as a stream."""
    chat = body.as_chat()
    choices = await start_chat(served, chat, request)
    begun = _begun(served, body)
    if body.stream:
        return EventStream(_events(choices, begun, chat.toolbox), choices)
    answers = await choices.collect(request)
    if answers is None:
        return Response(status_code=CLIENT_GONE)
    (answer,) = answers
    text, calls = AnswerReader(chat.toolbox).push(answer.text, is_last=True)
    is_cut = answer.finish_reason == "length"
    output: list[OutputMessage | OutputCall] = []
    if text or not calls:
        output.append(message(new_id("msg"), text, "incomplete" if is_cut else "completed"))
    output += [OutputCall.of(call) for call in calls]
    return _ended(begun, output, is_cut, choices)


def _begun(served: ServedModel, body: ResponseRequest) -> ResponseObject:
    """The answer before anything is said."""
    asked = body.model_dump(by_alias=True, exclude_none=True)
    return ResponseObject(
        id=new_id("resp"),
        created_at=int(time.time()),
        status="in_progress",
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        metadata=body.metadata or {},
        model=served.name,
        parallel_tool_calls=body.parallel_tool_calls is not False,
        temperature=DEFAULT_TEMPERATURE if body.temperature is None else body.temperature,
        text=asked.get("text", {"format": {"type": "text"}}),
        tool_choice=asked.get("tool_choice", "auto"),
        tools=asked.get("tools", []),
        top_p=1.0 if body.top_p is None else body.top_p,
        user=body.user,
    )


def _ended(
    begun: ResponseObject,
    output: list[OutputMessage | OutputCall],
    is_cut: bool,
    choices: Choices,
) -> ResponseObject:
    end = {
        "status": "incomplete" if is_cut else "completed",
        "incomplete_details": IncompleteDetails() if is_cut else None,
        "output": output,
        "usage": ResponseUsage.of(choices.usage),
    }
    return begun.model_copy(update=end)


async def _events(
    choices: Choices, begun: ResponseObject, toolbox: Toolbox | None
) -> AsyncIterator[str]:
    stream, reader, is_cut = EventWriter(), AnswerReader(toolbox), False
    for type in ("response.created", "response.in_progress"):
        yield stream.event(type, response=begun)
    try:
        async for _, update in choices:
            is_last = update.finish_reason is not None
            is_cut = update.finish_reason == "length"
            text, calls = reader.push(update.text, is_last)
            if text or (is_last and not calls and stream.is_silent):
                for one in stream.say(text):
                    yield one
            for call in calls:
                for one in (*stream.close("completed"), *stream.call(call)):
                    yield one
    except ModelwrightError as error:
        known = error_body(error)
        yield stream.event("error", code=known.code, message=known.message, param=known.param)
        return
    for one in stream.close("incomplete" if is_cut else "completed"):
        yield one
    end = _ended(begun, stream.output, is_cut, choices)
    yield stream.event(f"response.{end.status}", response=end)
