"""How one server-sent event is written (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

DONE = "data: [DONE]\n\n"
KEEP_ALIVE = ": keep-alive\n\n"

_LINE_ENDS = {ord(character): f"\\u{ord(character):04x}" for character in "\x85\u2028\u2029"}
"""Only CR and LF end a line of a stream, but clients that use ``str.splitlines`` cut here too."""


def event_of(content: Mapping[str, Any], type: str | None = None) -> str:
    """An event of JSON on one line, whatever text is in it and however a client splits lines."""
    data = json.dumps(content, ensure_ascii=False).translate(_LINE_ENDS)
    name = "" if type is None else f"event: {type}\n"
    return f"{name}data: {data}\n\n"
