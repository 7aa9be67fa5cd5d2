"""``/v1/responses`` by the unmodified openai client."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel, Field
from running_server import NAME, Server, openai_client, running

from modelwright.inference.engine import Engine

CLOCK = {
    "type": "function",
    "name": "clock",
    "description": "The time.",
    "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
}
CALL = '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'


@pytest.fixture(scope="module")
def server(wide_server: Server) -> Server:
    return wide_server


def ask(client: OpenAI, **options: Any) -> Any:
    body = {"model": NAME, "input": "Who jumps?", "max_output_tokens": 20, "temperature": 0}
    return client.responses.create(**{**body, **options})


def events(client: OpenAI, **options: Any) -> list[Any]:
    return list(ask(client, stream=True, **options))


def test_an_answer_is_that_of_a_chat(client: OpenAI) -> None:
    answer = ask(client, metadata={"a": "b"}, instructions="Be brief.")
    chat = client.chat.completions.create(
        model=NAME,
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Who jumps?"},
        ],
        max_tokens=20,
        temperature=0,
    )
    assert answer.output_text == chat.choices[0].message.content
    assert (answer.object, answer.model, answer.metadata) == ("response", NAME, {"a": "b"})
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert answer.usage.input_tokens == chat.usage.prompt_tokens
    assert answer.usage.output_tokens == 20
    assert answer.output[0].status == "incomplete"


def test_events_come_in_order_and_say_the_same(client: OpenAI) -> None:
    whole, found = ask(client), events(client)
    assert [event.sequence_number for event in found] == list(range(len(found)))
    types = [event.type for event in found]
    assert types[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert types[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    deltas = [event.delta for event in found if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text == found[-1].response.output_text
    assert found[-1].response.usage == whole.usage
    assert len({event.item_id for event in found if hasattr(event, "item_id")}) == 1


def test_an_answer_that_ends_by_itself_is_complete(says: Callable[[str], Engine]) -> None:
    for text in ("A fox.", ""):
        with running(says(text)) as server, openai_client(server) as client:
            answer, found = ask(client), events(client)
        assert (answer.status, answer.output_text) == ("completed", text)
        assert found[-1].type == "response.completed"
        assert found[-1].response.output_text == text
        assert len(found[-1].response.output) == 1


def test_a_conversation_goes_on_with_what_was_answered(client: OpenAI, server: Server) -> None:
    first = ask(client)
    conversation = [{"role": "user", "content": "Who jumps?"}, *first.output]
    conversation.append({"role": "user", "content": [{"type": "input_text", "text": "And?"}]})
    answer = ask(client, input=conversation)
    expected = server.engine.tokenizer.encode_chat(
        [
            {"role": "user", "content": "Who jumps?"},
            {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": "And?"},
        ],
        add_generation_prompt=True,
    )
    assert answer.usage.input_tokens == len(expected)


def test_tools_are_called_and_their_results_go_back(
    says: Callable[[str], Engine], client: OpenAI
) -> None:
    with running(says(f"Look.\n{CALL}")) as server, openai_client(server) as scripted:
        answer = ask(scripted, tools=[CLOCK], max_output_tokens=200)
        found = events(scripted, tools=[CLOCK], max_output_tokens=200)
    text, call = answer.output
    assert (text.content[0].text, call.type, call.name) == ("Look.", "function_call", "clock")
    assert json.loads(call.arguments) == {}
    done = [one for one in found if one.type == "response.function_call_arguments.done"]
    assert [one.arguments for one in done] == ["{}"]
    assert [item.type for item in found[-1].response.output] == ["message", "function_call"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "noon"}
    again = [{"role": "user", "content": "Time?"}, *answer.output, result]
    assert ask(client, input=again, tools=[CLOCK]).output_text
    must = ask(client, tools=[CLOCK], tool_choice="required", max_output_tokens=200, temperature=1)
    assert must.output[0].type == "function_call"


def test_answers_of_a_given_form(client: OpenAI) -> None:
    class Fox(BaseModel):
        legs: int = Field(ge=0, le=9)

    parsed = client.responses.parse(
        model=NAME, input="How many?", text_format=Fox, max_output_tokens=60
    )
    assert isinstance(parsed.output_parsed, Fox)
    answer = ask(client, text={"format": {"type": "json_object"}})
    assert answer.output_text.startswith("{")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"store": True}, "store"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"reasoning": {"effort": "high"}}, "reasoning"),
        ({"input": []}, "input"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "part 0",
        ),
        (
            {
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "x", "lang": "en"}]}
                ]
            },
            "part 0",
        ),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tool_choice": "required"}, "needs tools"),
        ({"top_p": 2}, "top_p"),
        ({"seed": 1}, "seed"),
    ],
)
def test_what_is_not_honoured_is_refused(
    client: OpenAI, options: dict[str, Any], problem: str
) -> None:
    extra = {"extra_body": options}
    with pytest.raises(openai.BadRequestError, match=problem):
        ask(client, **extra)


NAMED = {"type": "function", "name": "other"}


@pytest.mark.parametrize(
    ("options", "param", "problem"),
    [
        ({"tools": [CLOCK, CLOCK]}, "tools", "two tools"),
        ({"tools": [CLOCK], "tool_choice": NAMED}, "tool_choice", "no tool is called 'other'"),
        (
            {"tools": [CLOCK], "text": {"format": {"type": "json_object"}}},
            "tools",
            "tools do not go with text.format:",
        ),
        (
            {
                "input": [
                    {"role": "user", "content": "x"},
                    {"type": "function_call", "call_id": "1", "name": "clock", "arguments": "x"},
                ]
            },
            "input",
            "'input': the arguments of 'clock'",
        ),
        (
            {"tool_choice": {"type": "function", "name": "read_messages"}},
            "tool_choice",
            "'read_messages'",
        ),
    ],
)
def test_what_does_not_go_together_is_called_as_on_this_route(
    client: OpenAI, options: dict[str, Any], param: str, problem: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, extra_body=options)
    assert caught.value.param == param
    assert problem in caught.value.body["message"]
