"""The chat template (ChatML, as Qwen models use it) and how a conversation becomes tokens.

The Jinja text is the only definition: training, evaluation and serving render with it. To keep
user text from forging control tokens, the template is rendered with placeholders for the contents
of messages, and each content is encoded as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from modelwright.core.conversation import ROLES
from modelwright.core.errors import InputError

END_OF_TEXT, MESSAGE_START, MESSAGE_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, MESSAGE_START, MESSAGE_END)

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['role'] == 'assistant' -%}
{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}
{%- else -%}
{{- message['content'] + '<|im_end|>' -}}
{%- endif -%}
{{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""
"""What stands between ``{% generation %}`` tags is what the model itself says: the trained part."""


def plain_template(end: str) -> str:
    """The template for a tokenizer without our control tokens: plain words, and its own end."""
    quoted = end.replace("\\", "\\\\").replace("'", "\\'")
    return CHAT_TEMPLATE.replace(MESSAGE_START, "### ").replace(MESSAGE_END, quoted)


# Private-use characters, removed from contents before rendering, so that they cannot be forged.
_OPEN, _CLOSE, _TRAIN_ON, _TRAIN_OFF = "\ue000", "\ue001", "\ue002", "\ue003"
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_MARKS = re.compile(f"({_OPEN}[0-9]+{_CLOSE}|{_TRAIN_ON}|{_TRAIN_OFF})")


@dataclass(frozen=True)
class Span:
    """A piece of a rendered conversation.

    Attributes
    ----------
    text : str
        The piece.
    is_content : bool
        Whether it came from a message (plain text) or from the template (may be control tokens).
    is_trained : bool
        Whether the template marks it as the model's own words.
    """

    text: str
    is_content: bool
    is_trained: bool


def check_messages(messages: Sequence[Mapping[str, str]]) -> None:
    """Refuse conversations that cannot be rendered.

    Raises
    ------
    InputError
        If there is no message, or one has an unknown role or no text.
    """
    if not messages:
        raise InputError("the conversation has no messages", fix="give at least one message")
    for index, message in enumerate(messages):
        if message.get("role") not in ROLES:
            raise InputError(
                f"messages[{index}].role is {message.get('role')!r}",
                fix=f"use one of {', '.join(ROLES)}",
            )
        if not isinstance(message.get("content"), str):
            raise InputError(f"messages[{index}].content is not a text", fix="give a string")


def render_spans(
    template: str,
    messages: Sequence[Mapping[str, str]],
    add_generation_prompt: bool,
    named: Mapping[str, str] | None = None,
    control: re.Pattern[str] | None = None,
) -> list[Span]:
    """Render a conversation into spans of template text and message content.

    Parameters
    ----------
    template : str
        A Jinja chat template; ``{% generation %}`` blocks mark the trained part. Without any, it is
        what the assistant says, with what follows up to the next control token.
    messages : sequence of mappings
        With ``role`` and ``content``.
    add_generation_prompt : bool
        Whether to end with the opening of an assistant message.
    named : dict of str to str, optional
        Control tokens that the template may call by name, as ``bos_token``.
    control : re.Pattern, optional
        Finds control tokens.

    Raises
    ------
    InputError
        If the messages or the template are unusable.
    """
    check_messages(messages)
    marked = [
        {**message, "content": f"{_OPEN}{index}{_CLOSE}"} for index, message in enumerate(messages)
    ]
    try:
        text = _compile(template).render(
            messages=marked, add_generation_prompt=add_generation_prompt, **(named or {})
        )
    except TemplateError as error:
        raise InputError(f"the chat template cannot be rendered: {error}") from None
    marks_answers = _GENERATION.search(template) is not None
    spans, trained = list[Span](), False
    for piece in _MARKS.split(text):
        if piece == _TRAIN_ON:
            trained = True
        elif piece == _TRAIN_OFF:
            trained = False
        elif piece.startswith(_OPEN):
            message = messages[int(piece[1:-1])]
            is_answer = not marks_answers and message["role"] == "assistant"
            spans.append(Span(message["content"], True, trained or is_answer))
        elif piece and not marks_answers and spans and spans[-1].is_trained:
            spans += _end_of_answer(piece, control)
        elif piece:
            spans.append(Span(piece, False, trained))
    return spans


def _end_of_answer(text: str, control: re.Pattern[str] | None) -> list[Span]:
    """What a template writes behind an answer: trained up to the control token that ends it."""
    found = control.search(text) if control else None
    cut = found.end() if found else 0
    pieces = ((text[:cut], True), (text[cut:], False))
    return [Span(piece, False, is_trained) for piece, is_trained in pieces if piece]


@lru_cache(maxsize=8)
def _compile(template: str) -> Template:
    # The same options as Hugging Face's renderer, so that templates behave alike.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_mark_generation(template))


def _mark_generation(template: str) -> str:
    """Turn the generation tags, which plain Jinja does not know, into marks in the output."""
    for tag, mark in (("generation", _TRAIN_ON), ("endgeneration", _TRAIN_OFF)):
        # The tag's own white-space control (the dashes) stays.
        pattern = r"\{%(-?)\s*" + tag + r"\s*(-?)%\}"
        template = re.sub(pattern, r"{{\1 '" + mark + r"' \2}}", template)
    return template
