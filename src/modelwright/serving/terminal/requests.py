"""The request for an answer, as a command and as a program."""

from __future__ import annotations

import json
import pprint
import shlex
from typing import Any

from modelwright.inference.sampling import SamplingParams

ADDRESS = "http://127.0.0.1:8000"
"""Where ``modelwright serve`` listens unless it is told otherwise."""

_OWN = ("top_k", "min_p", "repetition_penalty", "min_tokens")
"""Fields that OpenAI's client does not know."""

SETTABLE = (
    "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty",
    "repetition_penalty", "max_tokens", "min_tokens", "seed", "stop",
)  # fmt: skip
"""Fields of :class:`SamplingParams` that people set, by the names that requests give them."""

_ALWAYS = ("temperature", "max_tokens")


def options_of(model: str, params: SamplingParams) -> dict[str, Any]:
    """The fields of a request that say who answers, and what is not as usual."""
    usual = SamplingParams(params.max_tokens)
    named = {
        name: getattr(params, name)
        for name in SETTABLE
        if name in _ALWAYS or getattr(params, name) != getattr(usual, name)
    }
    if "stop" in named:
        named["stop"] = list(params.stop)
    return {"model": model, **named}


def body_of(prompt: list[dict[str, str]] | str, options: dict[str, Any]) -> dict[str, Any]:
    """The body of a request: messages, or a text to go on with."""
    return {**options, "prompt" if isinstance(prompt, str) else "messages": prompt}


def as_curl(body: dict[str, Any]) -> str:
    """A command for the shell."""
    path = "completions" if "prompt" in body else "chat/completions"
    return (
        f"curl {ADDRESS}/v1/{path} -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}"
    )


def as_python(body: dict[str, Any]) -> str:
    """A program with OpenAI's client."""
    own = {name: body[name] for name in _OWN if name in body}
    given = {name: value for name, value in body.items() if name not in own}
    if own:
        given["extra_body"] = own
    is_text = "prompt" in body
    lines = [f"    {name}={pprint.pformat(value, width=90)}," for name, value in given.items()]
    return "\n".join(
        [
            "from openai import OpenAI",
            "",
            f'client = OpenAI(base_url="{ADDRESS}/v1", api_key="none")',
            f"answer = client.{'completions' if is_text else 'chat.completions'}.create(",
            *lines,
            ")",
            f"print(answer.choices[0].{'text' if is_text else 'message.content'})",
        ]
    )
