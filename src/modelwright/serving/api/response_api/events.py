"""The events of a streamed answer of ``POST /v1/responses``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from modelwright.serving.api.response_api.objects import (
    OutputCall,
    OutputMessage,
    OutputText,
    Status,
    message,
    new_id,
)
from modelwright.serving.api.server_sent_events import event_of
from modelwright.serving.api.tools import ToolCall


class EventWriter:
    """Writes the events of one answer, with their numbers."""

    def __init__(self) -> None:
        self._number = 0
        self.output: list[OutputMessage | OutputCall] = []
        """What is complete."""
        self._open: tuple[str, str] | None = None
        """Id and text so far of the message that is being said."""

    @property
    def is_silent(self) -> bool:
        """Whether nothing was said yet."""
        return self._open is None and not self.output

    def event(self, type: str, **content: Any) -> str:
        """One event."""
        plain = {
            name: value.model_dump() if isinstance(value, BaseModel) else value
            for name, value in content.items()
        }
        data = {"type": type, "sequence_number": self._number, **plain}
        self._number += 1
        return event_of(data, type)

    def say(self, text: str) -> Iterator[str]:
        """More text, in a message that is open or a new one."""
        place = len(self.output)
        if self._open is None:
            self._open = new_id("msg"), ""
            item = OutputMessage(id=self._open[0], status="in_progress", content=[])
            yield self.event("response.output_item.added", output_index=place, item=item)
            yield self._of_text("response.content_part.added", part=OutputText(text=""))
        id, so_far = self._open
        self._open = id, so_far + text
        yield self._of_text("response.output_text.delta", delta=text, logprobs=[])

    def close(self, status: Status) -> Iterator[str]:
        """The end of the message that is open."""
        if self._open is None:
            return
        id, text = self._open
        whole = message(id, text, status)
        yield self._of_text("response.output_text.done", text=text, logprobs=[])
        yield self._of_text("response.content_part.done", part=whole.content[0])
        place = len(self.output)
        yield self.event("response.output_item.done", output_index=place, item=whole)
        self.output.append(whole)
        self._open = None

    def call(self, call: ToolCall) -> Iterator[str]:
        """A call of a tool, whole."""
        whole, place = OutputCall.of(call), len(self.output)
        empty = whole.model_copy(update={"arguments": "", "status": "in_progress"})
        known: dict[str, Any] = {"item_id": whole.id, "output_index": place}
        part = "response.function_call_arguments"
        yield self.event("response.output_item.added", output_index=place, item=empty)
        yield self.event(f"{part}.delta", delta=whole.arguments, **known)
        yield self.event(f"{part}.done", arguments=whole.arguments, name=whole.name, **known)
        yield self.event("response.output_item.done", output_index=place, item=whole)
        self.output.append(whole)

    def _of_text(self, type: str, **content: Any) -> str:
        assert self._open is not None
        place = {"item_id": self._open[0], "output_index": len(self.output), "content_index": 0}
        return self.event(type, **place, **content)
