"""``POST /v1/responses``, without a memory: every request brings its whole conversation."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from functools import partial

from fastapi import Request, Response

from modelwright.core.errors import ModelwrightError
from modelwright.serving.api.chat import AnswerReader, start_chat
from modelwright.serving.api.choices import Choices
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
        writer = EventWriter()
        events = _events(writer, choices, begun, chat.toolbox)
        return EventStream(events, choices, served.limits, partial(_error_event, writer))
    (answer,) = await choices.collect(request)
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
    writer: EventWriter, choices: Choices, begun: ResponseObject, toolbox: Toolbox | None
) -> AsyncIterator[str]:
    reader, is_cut = AnswerReader(toolbox), False
    await choices.begun()
    for type in ("response.created", "response.in_progress"):
        yield writer.event(type, response=begun)
    async for _, update in choices:
        is_last = update.finish_reason is not None
        is_cut = update.finish_reason == "length"
        text, calls = reader.push(update.text, is_last)
        if text or (is_last and not calls and writer.is_silent):
            for one in writer.say(text):
                yield one
        for call in calls:
            for one in (*writer.close("completed"), *writer.call(call)):
                yield one
    for one in writer.close("incomplete" if is_cut else "completed"):
        yield one
    end = _ended(begun, writer.output, is_cut, choices)
    yield writer.event(f"response.{end.status}", response=end)


def _error_event(writer: EventWriter, error: ModelwrightError) -> str:
    known = error_body(error)
    return writer.event("error", code=known.code, message=known.message, param=known.param)
