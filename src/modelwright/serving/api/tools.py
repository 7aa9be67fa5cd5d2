"""Tools that a model may call: how they are asked for, and how calls are found in what it says.

Calls are written as Qwen's chat templates write them, and ours: JSON between ``<tool_call>`` and
``</tool_call>``.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from modelwright.inference.structured import SPACING, Structure
from modelwright.serving.api.strict_request import StrictRequest, Text
from modelwright.tokens.tokenizer import Tokenizer

OPENING, CLOSING = "<tool_call>", "</tool_call>"
MOST_TOOLS = 128


class FunctionDefinition(StrictRequest):
    """A function: what it is for, and a JSON schema of its arguments."""

    name: Annotated[Text, Field(pattern="^[A-Za-z0-9_.-]{1,64}$")]
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolDefinition(StrictRequest):
    """A tool that may be called."""

    type: Literal["function"]
    function: FunctionDefinition


class FunctionName(StrictRequest):
    """The name of a function."""

    name: Text


class NamedTool(StrictRequest):
    """The tool that must be called."""

    type: Literal["function"]
    function: FunctionName


Mode = Literal["auto", "required", "named"]

ToolChoice = Literal["none", "auto", "required"] | NamedTool


class FunctionCall(BaseModel):
    """A call in an answer: name, and arguments as JSON in a text."""

    name: str
    arguments: str


class ToolCall(BaseModel):
    """A call of a tool in an answer."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall

    @classmethod
    def of(cls, function: FunctionCall) -> ToolCall:
        """With a new id."""
        return cls(id=f"call_{secrets.token_hex(12)}", function=function)


@dataclass(frozen=True)
class Toolbox:
    """The tools of one request.

    Attributes
    ----------
    tools : list of ToolDefinition
        Those that may be called.
    mode : {"auto", "required", "named"}
        Whether the model may call, must call, or must call the one tool that there is.
    calls_several : bool
        Whether one answer may call more than once.
    """

    tools: list[ToolDefinition]
    mode: Mode
    calls_several: bool

    @property
    def names(self) -> list[str]:
        """Of the functions."""
        return [tool.function.name for tool in self.tools]

    def for_template(self) -> list[dict[str, Any]]:
        """The tools as the chat template takes them."""
        return [tool.model_dump(exclude_none=True) for tool in self.tools]

    def structure(self, tokenizer: Tokenizer) -> Structure | None:
        """The form of an answer that must be a call, as a grammar; None if it may be text."""
        if self.mode == "auto":
            return None
        opening, closing = (_literal(part, tokenizer) for part in (OPENING, CLOSING))
        more = ' ("\\n" call)*' if self.calls_several else ""
        functions = [f"f{number}" for number in range(len(self.tools))]
        lines = [
            f"start: call{more}",
            f'call: {opening} "\\n" ({" | ".join(functions)}) "\\n" {closing}',
        ]
        for rule, tool in zip(functions, self.tools, strict=True):
            begin = f'{{"name": {json.dumps(tool.function.name)}, "arguments": '
            schema = {"type": "object", **(tool.function.parameters or {}), "x-guidance": SPACING}
            lines.append(f'{rule}: {json.dumps(begin)} {rule}_arguments "}}"')
            lines.append(f"{rule}_arguments: %json {json.dumps(schema)}")
        return Structure.of("grammar", "\n".join(lines))


def knows_calls(tokenizer: Tokenizer) -> bool:
    """Whether a model with that tokenizer writes calls in the form that is read here."""
    ids = [tokenizer.special_tokens.get(mark) for mark in (OPENING, CLOSING)]
    # A token of its own must have a text, or it would not be seen in an answer.
    are_seen = all(id is None or tokenizer.token_bytes(id) for id in ids)
    return are_seen and OPENING in tokenizer.template


def _literal(text: str, tokenizer: Tokenizer) -> str:
    """A terminal of the grammar: a token of its own, where the tokenizer has it."""
    id = tokenizer.special_tokens.get(text)
    return json.dumps(text) if id is None else f"<[{id}]>"


class ToolCallParser:
    """Finds calls in a text that comes in pieces.

    Parameters
    ----------
    names : collection of str
        Functions that can be called; what looks like a call of another one is text.
    most_calls : int or None
        What comes behind so many calls is left out.
    """

    def __init__(self, names: Collection[str], most_calls: int | None = None):
        self._names, self._most_calls = names, most_calls
        self._held = ""
        self._line_ends = ""  # before the call that is being read
        self._is_inside = False
        self.calls = 0
        """How many were found."""

    def push(self, text: str) -> tuple[str, list[FunctionCall]]:
        """Take a piece; return the text and the calls that are certain by now."""
        self._held += text
        said, calls = list[str](), list[FunctionCall]()
        while not self._is_full:
            if not self._is_inside:
                before, mark, rest = self._held.partition(OPENING)
                if not mark:
                    break
                text_before = before.rstrip("\n")
                said.append(text_before)
                self._line_ends = before[len(text_before) :]
                self._held, self._is_inside = rest, True
            inner, mark, rest = self._held.partition(CLOSING)
            if not mark:
                break
            self._held, self._is_inside = rest, False
            call = self._read(inner)
            if call is None:
                said.append(self._line_ends + OPENING + inner + CLOSING)
            else:
                calls.append(call)
                self.calls += 1
        if self._is_full:
            self._held = ""
        elif not self._is_inside:
            certain = len(self._held) - _possible_opening(self._held)
            said.append(self._held[:certain])
            self._held = self._held[certain:]
        return "".join(said), calls

    def finish(self) -> str:
        """The text held back, when no more comes: also a call that was not closed."""
        if self._is_inside:
            return self._line_ends + OPENING + self._held
        # Line ends behind a call are between calls.
        return self._held if self._held.strip("\n") or not self.calls else ""

    @property
    def _is_full(self) -> bool:
        return self._most_calls is not None and self.calls >= self._most_calls

    def _read(self, inner: str) -> FunctionCall | None:
        try:
            content = json.loads(inner, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return None
        if not isinstance(content, dict) or content.get("name") not in self._names:
            return None
        arguments = content.get("arguments", {})
        if not isinstance(arguments, dict):
            return None
        text = json.dumps(arguments, ensure_ascii=False)
        return FunctionCall(name=content["name"], arguments=text)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _possible_opening(text: str) -> int:
    """Length of the longest end of a text that line ends and the beginning of a mark can be."""
    kept = next(
        (size for size in range(len(OPENING) - 1, 0, -1) if text.endswith(OPENING[:size])), 0
    )
    whole = text[: len(text) - kept]
    return len(text) - len(whole.rstrip("\n"))
