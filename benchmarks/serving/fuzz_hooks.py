"""Read by Schemathesis (``fuzz.py``): puts right in most bodies what no schema can say.

Which model there is, what a message needs for its role, fields that exclude each other: bodies that
are drawn from the schema alone are nearly always refused for one of these.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import schemathesis

UNTOUCHED = 8
"""One body of so many is sent as it was drawn."""

TOGETHER_ONLY = {
    "stream_options": "stream",
    "top_logprobs": "logprobs",
    "tool_choice": "tools",
    "parallel_tool_calls": "tools",
    "encoding_format": "input",
}
EXCLUDED_BY_TOOLS = ("response_format", "structured_outputs", "min_tokens", "ignore_eos", "text")


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """The body that is sent."""
    if not isinstance(body, dict):
        return body
    chance = zlib.crc32(json.dumps(body, sort_keys=True, default=repr).encode())
    if chance % UNTOUCHED == 0:
        return body
    body = {name: value for name, value in body.items() if value is not None}
    if "model" in body:
        body["model"] = "random"
    for name, needed in TOGETHER_ONLY.items():
        if not body.get(needed):
            body.pop(name, None)
    if chance % 2:
        body.pop("tools", None)
        body.pop("tool_choice", None)
        body.pop("parallel_tool_calls", None)
    elif body.get("tools"):
        for name in EXCLUDED_BY_TOOLS:
            body.pop(name, None)
    if "response_format" in body:
        body.pop("structured_outputs", None)
    if "max_completion_tokens" in body:
        body.pop("max_tokens", None)
    if isinstance(body.get("messages"), list):
        body["messages"] = [_message(one) for one in body["messages"]]
    if isinstance(body.get("input"), list):
        body["input"] = [_item(one) for one in body["input"]]
    return body


def _message(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    role = message.get("role")
    if role != "assistant":
        message.pop("tool_calls", None)
    if role != "tool":
        message.pop("tool_call_id", None)
    elif not isinstance(message.get("tool_call_id"), str):
        message["tool_call_id"] = "call"
    if not message.get("content") and not message.get("tool_calls"):
        message["content"] = "text"
    for call in message.get("tool_calls") or []:
        if isinstance(call, dict) and isinstance(call.get("function"), dict):
            call["function"]["arguments"] = "{}"
    return message


def _item(item: Any) -> Any:
    if isinstance(item, dict) and item.get("type") == "function_call":
        item["arguments"] = "{}"
    return item
