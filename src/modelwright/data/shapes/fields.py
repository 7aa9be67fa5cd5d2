"""Checked fields of a row, and what is raised where one is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from modelwright.core.conversation import Tool
from modelwright.data.decoding import replace_surrogates


class BadRowError(ValueError):
    """A row that cannot be used.

    Parameters
    ----------
    reason : str
        Why, in words that are the same for every such row, to be counted.
    field : str
        The field, as ``messages[2].content``; "" if it is the row as a whole.
    problem : str, optional
        What is wrong with it, after the name of the field; by default the reason.
    """

    def __init__(self, reason: str, field: str = "", problem: str | None = None):
        super().__init__(reason)
        self.reason, self.field, self.problem = reason, field, problem or reason


EMPTY = "an empty text"
WRONG_TYPE = "a field of a wrong type"
MISSING = "a field that is missing"
HALF_CHARACTER = "half of a surrogate pair"


def text_field(
    row: Mapping[str, Any], name: str, prefix: str = "", may_be_empty: bool = False
) -> str:
    """A field that is text.

    Raises
    ------
    BadRowError
        If it is missing, of another type, empty, or holds half of a surrogate pair.
    """
    if name not in row:
        raise BadRowError(MISSING, prefix + name, "is missing")
    return checked_text(row[name], prefix + name, may_be_empty)


def checked_text(value: Any, name: str, may_be_empty: bool = False) -> str:
    """The value of a field that is text; see :func:`text_field`."""
    if not isinstance(value, str):
        raise BadRowError(WRONG_TYPE, name, f"is {type(value).__name__}, not text")
    if not may_be_empty and not value.strip():
        raise BadRowError(EMPTY, name, "is empty")
    if replace_surrogates(value)[1]:
        raise BadRowError(
            HALF_CHARACTER, name, "holds half of a surrogate pair, which is no character"
        )
    return value


def flag_field(row: Mapping[str, Any], name: str) -> bool:
    """A field that is true or false.

    Raises
    ------
    BadRowError
        If it is anything else.
    """
    value = row[name]
    if not isinstance(value, bool):
        raise BadRowError(WRONG_TYPE, name, f"is {value!r}, neither true nor false")
    return value


def number_field(row: Mapping[str, Any], name: str) -> float:
    """A field that is a finite number.

    Raises
    ------
    BadRowError
        If it is anything else.
    """
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadRowError(WRONG_TYPE, name, f"is {value!r}, not a finite number")
    return float(value)


def tools_field(row: Mapping[str, Any]) -> list[Tool]:
    """The tools of a row, as a list or as JSON; each with or without ``{"type": "function", ...}``.

    Raises
    ------
    BadRowError
        If one has no name.
    """
    tools = parsed(row["tools"], "tools")
    if not isinstance(tools, list):
        raise BadRowError(WRONG_TYPE, "tools", "is not a list of tools")
    return [_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools)]


def parsed(value: Any, name: str) -> Any:
    """A value as it is, or what it says if it is JSON in a text.

    Raises
    ------
    BadRowError
        If the JSON is broken.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise BadRowError("broken JSON in a field", name, "is text, but not JSON") from None


def _tool(tool: Any, name: str) -> Tool:
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        raise BadRowError(WRONG_TYPE, name, "is not the definition of a function")
    text_field(function, "name", f"{name}.")
    if "function" in tool:
        return {"type": "function", **tool}
    return {"type": "function", "function": tool}
