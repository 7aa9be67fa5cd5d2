"""Chat templates run as Hugging Face's renderer runs them: same options, tags, filters, functions.

What stands between ``{% generation %}`` and ``{% endgeneration %}`` comes out between two marks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from modelwright.core.errors import InputError

START, END = "modelwright_generation_start", "modelwright_generation_end"
"""Variables with the marks."""

# What Python raises where a template adds a text to nothing, divides by zero and the like.
_FAILURES = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError)


def render(template: str, variables: Mapping[str, Any]) -> str:
    """Render a chat template.

    Parameters
    ----------
    template : str
        Its Jinja text.
    variables : mapping of str to Any
        What it may look at: ``messages``, ``tools``, ``add_generation_prompt`` and so on, the marks
        among them.

    Raises
    ------
    InputError
        If it is no template, or refuses the messages.
    """
    try:
        return _compile(template).render(variables)
    except _FAILURES as error:
        raise InputError(
            f"the chat template cannot be rendered: {error}",
            fix="change the messages, or the template in the model's chat_template.jinja",
        ) from None


class _Generation(Extension):
    tags = {"generation"}  # noqa: RUF012 - Jinja's own declaration

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        marks: list[nodes.Expr] = [nodes.Name(START, "load"), nodes.Name(END, "load")]
        return nodes.CallBlock(self.call_method("_marked", marks), [], [], body).set_lineno(line)

    def _marked(self, start: str, end: str, caller: Callable[[], str]) -> str:
        return f"{start}{caller()}{end}"


@lru_cache(maxsize=8)
def _compile(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, "jinja2.ext.loopcontrols"],
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
    return environment.from_string(template)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as it is; Jinja's own filter writes escapes for ``<``, ``>`` and ``&``."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(format: str) -> str:
    return datetime.now().strftime(format)
