"""The chat template (ChatML, as Qwen models use it) and how a conversation becomes tokens.

The Jinja text is the only definition: training, evaluation and serving render with it. What the
messages hold is always plain text, whatever control tokens are written in it (``defusing.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

from modelwright.core.conversation import ROLES, Role
from modelwright.core.errors import InputError
from modelwright.tokens.defusing import ControlTokens, Defused, unused_characters
from modelwright.tokens.jinja_template import END, START, render
from modelwright.tokens.trained_part import Region, extended, marked_regions, regions_behind

END_OF_TEXT, MESSAGE_START, MESSAGE_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, MESSAGE_START, MESSAGE_END)

CHAT_TEMPLATE = """\
{%- if tools -%}
{{- '<|im_start|>system\\n' -}}
{%- if messages[0]['role'] == 'system' -%}
{{- messages[0]['content'] + '\\n\\n' -}}
{%- endif -%}
{{- '# Tools\\n\\nThese functions can be called:\\n<tools>' -}}
{%- for tool in tools -%}
{{- '\\n' + tool | tojson -}}
{%- endfor -%}
{{- '\\n</tools>\\n\\nA call is written as:\\n<tool_call>\\n' -}}
{{- '{"name": "the function", "arguments": {"its": "arguments"}}\\n</tool_call><|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
{{- '<|im_start|>assistant\\n' -}}
{% generation %}{{ message['content'] }}
{%- for call in message['tool_calls'] or [] -%}
{{- '\\n' if message['content'] or not loop.first else '' -}}
{{- '<tool_call>\\n{"name": ' + call['function']['name'] | tojson -}}
{{- ', "arguments": ' + call['function']['arguments'] | tojson + '}\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>' }}{% endgeneration %}
{{- '\\n' -}}
{%- elif message['role'] == 'tool' -%}
{{- '<|im_start|>user' if loop.first or loop.previtem['role'] != 'tool' else '' -}}
{{- '\\n<tool_response>\\n' + message['content'] + '\\n</tool_response>' -}}
{{- '<|im_end|>\\n' if loop.last or loop.nextitem['role'] != 'tool' else '' -}}
{%- elif message['role'] != 'system' or not loop.first or not tools -%}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""
"""What stands between ``{% generation %}`` tags is what the model itself says: the trained part.
Tools, calls and results are written as Qwen's templates write them."""

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_MUST_KNOW = ("tool_calls", "reasoning_content")
"""Parts of messages that a template must not leave out in silence."""


def plain_template(end: str) -> str:
    """The template for a tokenizer without our control tokens: plain words, and its own end."""
    quoted = end.replace("\\", "\\\\").replace("'", "\\'")
    return CHAT_TEMPLATE.replace(MESSAGE_START, "### ").replace(MESSAGE_END, quoted)


@dataclass(frozen=True)
class Span:
    """A piece of a rendered conversation.

    Attributes
    ----------
    text : str
        The piece.
    is_plain : bool
        Whether it is read as plain text; what is not may hold control tokens of the template.
    is_trained : bool
        Whether it is the model's own words.
    """

    text: str
    is_plain: bool
    is_trained: bool


@dataclass(frozen=True)
class ChatFormat:
    """How a tokenizer's conversations are written.

    Attributes
    ----------
    template : str
        A Jinja chat template; ``{% generation %}`` blocks mark the trained part. Without any, it is
        what follows the generation prompt, up to and with the stop token.
    control : ControlTokens
        The tokenizer's control tokens.
    stop : str or None
        The one that ends a message.
    named : dict of str to str
        Control tokens that the template may call by name, as ``bos_token``.
    """

    template: str
    control: ControlTokens
    stop: str | None = None
    named: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Chat:
    """What is to be rendered.

    Attributes
    ----------
    messages : sequence of mappings
        With ``role`` and ``content``, as ``core/conversation.py`` describes them.
    tools : sequence of mappings, optional
        Definitions of tools that may be called.
    add_generation_prompt : bool
        Whether to end with the opening of an assistant message.
    arguments : mapping, optional
        More variables for the template, as ``enable_thinking``.
    """

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] | None = None
    add_generation_prompt: bool = False
    arguments: Mapping[str, Any] | None = None


def check_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse conversations that cannot be rendered.

    Raises
    ------
    InputError
        If there is no message, or one has an unknown role or no text.
    """
    if not messages or not isinstance(messages, list | tuple):
        raise InputError("the conversation has no messages", fix="give at least one message")
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise InputError(f"messages[{index}] is no object", fix="give a role and a content")
        if message.get("role") not in ROLES:
            raise InputError(
                f"messages[{index}].role is {message.get('role')!r}",
                fix=f"use one of {', '.join(ROLES)}",
            )
        if not isinstance(message.get("content"), str):
            raise InputError(f"messages[{index}].content is not a text", fix="give a string")


def render_spans(format: ChatFormat, chat: Chat, trained_from: int | None = None) -> list[Span]:
    """Render a conversation into spans of plain text and control tokens.

    Parameters
    ----------
    format : ChatFormat
        How.
    chat : Chat
        What.
    trained_from : int, optional
        Train on what the assistant says from this message on, and make sure that the template
        shows it; by default on all that can be recognised.

    Raises
    ------
    InputError
        If the messages or the template are unusable, or do not fit each other.
    """
    check_messages(chat.messages)
    _check_known(format.template, chat)
    arguments = chat.arguments or {}
    unused = unused_characters(
        chat.messages, chat.tools or (), arguments, format.template, format.named
    )
    start, end = next(unused), next(unused)
    defused = Defused(format.control, unused)
    safe = Chat(
        [_defused_message(message, defused) for message in chat.messages],
        defused.defuse(chat.tools),
        chat.add_generation_prompt,
        defused.defuse(arguments),
    )
    marked = _render(format, safe, start, end)
    if defused.stand_ins and defused.mend(marked) != _render(format, chat, start, end):
        raise InputError(
            "a message holds a control token that the chat template looks for: "
            f"{', '.join(filter(None, defused.stand_ins.values())) or 'a part of one'}",
            fix="take it out; what was thought before an answer goes into 'reasoning_content'",
        )
    text, regions = marked_regions(marked, start, end)
    is_derived = not _GENERATION.search(format.template)
    if is_derived:
        regions = _derived_regions(format, safe, text, (start, end))
    if trained_from is not None:
        regions = _from_message(regions, chat.messages, trained_from)
        if is_derived:
            _check_results(regions, _contents(format, safe, "tool", text, (start, end)))
    return _spans(text, regions, format.control, defused)


def _defused_message(message: Mapping[str, Any], defused: Defused) -> dict[str, Any]:
    rest = {key: value for key, value in message.items() if key != "role"}
    return {"role": message["role"], **defused.defuse(rest)}


def _check_known(template: str, chat: Chat) -> None:
    """Refuse what a template would leave out in silence."""
    used = {key for message in chat.messages for key in _MUST_KNOW if message.get(key)}
    if chat.tools:
        used.add("tools")
    for name in sorted(used):
        if name not in template:
            raise InputError(
                f"the chat template does not know '{name}'",
                fix="use a template that writes it, or leave it out of the examples",
            )


def _render(format: ChatFormat, chat: Chat, start: str, end: str) -> str:
    variables = {
        **format.named,
        "tools": list(chat.tools) if chat.tools else None,
        "documents": None,
        **(chat.arguments or {}),
        "messages": list(chat.messages),
        "add_generation_prompt": chat.add_generation_prompt,
        START: start,
        END: end,
    }
    return render(format.template, variables)


def _derived_regions(
    format: ChatFormat, chat: Chat, text: str, marks: tuple[str, str]
) -> list[Region]:
    """The trained part where a template marks none: our own rule.

    What follows the generation prompt, as far as that holds a control token, so that no message
    can forge it; otherwise what the assistant says, with the control token behind it.
    """
    pattern = format.control.pattern
    arguments = json.dumps(chat.arguments or {}, sort_keys=True)
    header = _generation_prompt(format.template, tuple(sorted(format.named.items())), arguments)
    if pattern.search(header):
        return regions_behind(text, header, format.stop, pattern)
    return extended(_contents(format, chat, "assistant", text, marks), text, pattern)


def _contents(
    format: ChatFormat, chat: Chat, role: Role, text: str, marks: tuple[str, str]
) -> list[Region]:
    """Where a rendered text holds what one role says; nothing if the template changes that."""
    if all(message["role"] != role for message in chat.messages):
        return []
    messages = [
        {**message, "content": f"{marks[0]}{message['content']}{marks[1]}"}
        if message["role"] == role
        else message
        for message in chat.messages
    ]
    wrapped = Chat(messages, chat.tools, chat.add_generation_prompt, chat.arguments)
    without, regions = marked_regions(_render(format, wrapped, "", ""), *marks)
    return regions if without == text else []


@lru_cache(maxsize=32)
def _generation_prompt(template: str, named: tuple[tuple[str, str], ...], arguments: str) -> str:
    """What a template writes where an answer is asked for; "" if it writes nothing."""
    variables = {
        **dict(named),
        "tools": None,
        **json.loads(arguments),
        "messages": [{"role": "user", "content": "?"}],
        START: "",
        END: "",
    }
    try:
        without = render(template, {**variables, "add_generation_prompt": False})
        asked = render(template, {**variables, "add_generation_prompt": True})
    except InputError:
        return ""
    return asked.removeprefix(without) if asked.startswith(without) else ""


def _from_message(
    regions: list[Region], messages: Sequence[Mapping[str, Any]], first: int
) -> list[Region]:
    """The regions of the assistant's messages from that one on."""
    is_answer = [message["role"] == "assistant" for message in messages]
    wanted = sum(is_answer[first:])
    if len(regions) < wanted or (wanted == sum(is_answer) and len(regions) != wanted):
        raise InputError(
            f"the chat template shows {len(regions)} answers that can be recognised, "
            f"where {wanted} are to be learnt",
            fix="train on the last turn, or mark answers with {% generation %} in the template",
        )
    return regions[len(regions) - wanted :]


def _check_results(regions: list[Region], results: list[Region]) -> None:
    """Refuse to learn what tools say, where a template writes it inside the assistant's turn."""
    if any(_is_inside(start, regions) for start, end in results if start < end):
        raise InputError(
            "the chat template writes results of tools into what the model says",
            fix="mark answers with {% generation %} in the template",
        )


def _spans(
    text: str, regions: list[Region], control: ControlTokens, defused: Defused
) -> list[Span]:
    """A text cut at control tokens and where regions begin and end."""
    spans, place = list[Span](), 0
    for found in control.pattern.finditer(text):
        spans += _plain_spans(text, place, found.start(), regions, defused)
        spans.append(Span(found.group(), False, _is_inside(found.start(), regions)))
        place = found.end()
    return spans + _plain_spans(text, place, len(text), regions, defused)


def _plain_spans(
    text: str, start: int, end: int, regions: list[Region], defused: Defused
) -> list[Span]:
    borders = {place for region in regions for place in region if start < place < end}
    cuts = [start, *sorted(borders), end] if start < end else []
    return [
        Span(defused.mend(text[first:last]), True, _is_inside(first, regions))
        for first, last in pairwise(cuts)
    ]


def _is_inside(place: int, regions: list[Region]) -> bool:
    return any(start <= place < end for start, end in regions)
