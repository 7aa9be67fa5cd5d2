"""Tools: calls that must be made, calls that are found in what is said, and results sent back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from running_server import NAME, Server, openai_client, running

from modelwright.inference.engine import Engine
from modelwright.serving.api.tools import CLOSING, OPENING, ToolCallParser

QUESTION = [{"role": "user", "content": "Weather in Rome?"}]
PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 4},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
CLOCK = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "The time.",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    },
}
CALL = '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'


@pytest.fixture(scope="module")
def server(wide_server: Server) -> Server:
    return wide_server


def chat(client: OpenAI, **options: Any) -> Any:
    body = {"model": NAME, "messages": QUESTION, "max_tokens": 150, "seed": 3, **options}
    return client.chat.completions.create(**body)


def streamed(client: OpenAI, **options: Any) -> tuple[str, list[tuple[int, str, str]], list[str]]:
    """Text, calls and reasons of a stream with one choice."""
    text, calls, reasons = "", [], []
    for chunk in chat(client, stream=True, **options):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or []:
                calls.append((call.index, call.function.name, call.function.arguments))
            reasons += [choice.finish_reason] if choice.finish_reason else []
    return text, calls, reasons


@pytest.mark.parametrize("seed", range(3))
def test_a_tool_that_must_be_called_is(client: OpenAI, seed: int) -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    choice = chat(client, tools=[CLOCK, WEATHER], tool_choice=named, seed=seed).choices[0]
    (call,) = choice.message.tool_calls
    assert (call.type, call.function.name, choice.message.content) == ("function", "weather", None)
    jsonschema.validate(json.loads(call.function.arguments), PARAMETERS)
    assert choice.finish_reason == "stop"


def test_some_tool_must_be_called(client: OpenAI) -> None:
    options: dict[str, Any] = {"tools": [CLOCK, WEATHER], "tool_choice": "required"}
    choice = chat(client, parallel_tool_calls=False, **options).choices[0]
    (call,) = choice.message.tool_calls
    assert call.function.name in ("weather", "clock")
    assert choice.finish_reason == "tool_calls"
    text, calls, _ = streamed(client, parallel_tool_calls=False, **options)
    assert text == ""
    assert calls == [(0, call.function.name, call.function.arguments)]


def test_calls_are_found_in_what_is_said(says: Callable[[str], Engine]) -> None:
    with running(says(f"Let me look.\n{CALL}\n{CALL}")) as server, openai_client(server) as client:
        choice = chat(client, tools=[CLOCK]).choices[0]
        stream = streamed(client, tools=[CLOCK])
        first = chat(client, tools=[CLOCK], parallel_tool_calls=False).choices[0]
        plain = chat(client, tools=[CLOCK], tool_choice="none").choices[0]
        without = chat(client).choices[0]
    assert choice.message.content == "Let me look."
    assert [call.function.name for call in choice.message.tool_calls] == ["clock", "clock"]
    assert len({call.id for call in choice.message.tool_calls}) == 2
    assert choice.finish_reason == "tool_calls"
    assert stream == ("Let me look.", [(0, "clock", "{}"), (1, "clock", "{}")], ["tool_calls"])
    assert len(first.message.tool_calls) == 1
    for one in (plain, without):
        assert one.message.content == f"Let me look.\n{CALL}\n{CALL}"
        assert (one.message.tool_calls, one.finish_reason) == (None, "stop")


def test_what_is_no_call_is_text(says: Callable[[str], Engine]) -> None:
    for text in (
        "<tool_call>\nnonsense\n</tool_call> and more",
        CALL.replace("clock", "rocket"),
        CALL[:-4],
        "a <tool",
    ):
        with running(says(text)) as server, openai_client(server) as client:
            choice = chat(client, tools=[CLOCK]).choices[0]
            assert (choice.message.content, choice.message.tool_calls) == (text, None)
            assert choice.finish_reason == "stop"
            assert streamed(client, tools=[CLOCK])[0] == text


def test_results_go_back_as_the_template_writes_them(client: OpenAI, server: Server) -> None:
    made = {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    messages = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "c1", "content": "noon"},
    ]
    answer = chat(client, messages=messages, tools=[CLOCK], max_tokens=1)
    whole = {"type": "function", "function": {"name": "clock", "arguments": {}}}
    expected = server.engine.tokenizer.encode_chat(
        [
            *QUESTION,
            {"role": "assistant", "content": "", "tool_calls": [whole]},
            {"role": "tool", "content": "noon"},
        ],
        add_generation_prompt=True,
        tools=[CLOCK],
    )
    assert answer.usage.prompt_tokens == len(expected)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"tools": [WEATHER, WEATHER]}, "two tools have one name"),
        ({"tool_choice": "required"}, "needs tools"),
        (
            {
                "tools": [CLOCK],
                "tool_choice": {"type": "function", "function": {"name": "weather"}},
            },
            "no tool is called 'weather'",
        ),
        ({"tools": [{"type": "web_search"}]}, "tools.0"),
        ({"tools": [CLOCK], "response_format": {"type": "json_object"}}, "do not go with"),
        (
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "f", "parameters": {"properties": {"a": {"not": {}}}}},
                    }
                ],
                "tool_choice": "required",
            },
            "cannot be enforced",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "tool_call_id"),
        ({"messages": [{"role": "assistant"}]}, "content is missing"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "[1]"}}],
                    }
                ]
            },
            "no JSON object",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(
    client: OpenAI, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=problem):
        chat(client, **options)


PIECES = st.lists(
    st.sampled_from(
        ["a", "\n", "<", OPENING, CLOSING, CALL, '{"name": "clock"}', "tool_call>", "é"]
    ),
    max_size=8,
)


@given(PIECES, st.data())
def test_the_parser_does_not_depend_on_how_the_text_is_cut(
    pieces: list[str], data: st.DataObject
) -> None:
    text = "".join(pieces)

    def parse(parts: list[str]) -> tuple[str, list[Any]]:
        parser = ToolCallParser(["clock"])
        said, calls = "", []
        for part in parts:
            more, found = parser.push(part)
            said, calls = said + more, calls + found
        return said + parser.finish(), calls

    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    said, calls = parse([text])
    assert parse(parts) == (said, calls)
    if not calls:
        assert said == text
