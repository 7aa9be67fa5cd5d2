"""Answers of a given form over HTTP, by the openai client, from a model with random weights."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel, Field
from running_server import NAME

QUESTION = [{"role": "user", "content": "Who jumps?"}]


class Fox(BaseModel):
    legs: int = Field(ge=0, le=9)
    colour: str = Field(max_length=5)


SCHEMA = {**Fox.model_json_schema(), "additionalProperties": False}


def chat(client: OpenAI, **options: Any) -> Any:
    body = {"model": NAME, "messages": QUESTION, "max_tokens": 80, "seed": 1, **options}
    return client.chat.completions.create(**body)


def by_schema(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "fox", "schema": schema}}


def test_json_by_a_schema(client: OpenAI) -> None:
    for seed in range(3):
        choice = chat(client, response_format=by_schema(SCHEMA), seed=seed).choices[0]
        jsonschema.validate(json.loads(choice.message.content), SCHEMA)
        assert choice.finish_reason == "stop"


def test_the_clients_own_parsing(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=NAME, messages=QUESTION, response_format=Fox, max_tokens=80, seed=2
    )
    assert isinstance(answer.choices[0].message.parsed, Fox)


def test_streamed_it_is_the_same(client: OpenAI) -> None:
    asked = {"response_format": by_schema(SCHEMA)}
    whole = chat(client, **asked).choices[0].message.content
    parts = [c for chunk in chat(client, stream=True, **asked) for c in chunk.choices]
    assert "".join(part.delta.content or "" for part in parts) == whole


def test_any_object_begins_as_one(client: OpenAI) -> None:
    text = chat(client, response_format={"type": "json_object"}).choices[0].message.content
    assert text.startswith("{")


@pytest.mark.parametrize(
    ("asked", "pattern"),
    [
        ({"regex": "[0-9]{3}-[a-f]"}, "[0-9]{3}-[a-f]"),
        ({"choice": ["red fox", "lazy dog"]}, "red fox|lazy dog"),
        ({"grammar": 'start: "a" /[0-9]/'}, "a[0-9]"),
        ({"json": {"type": "integer", "minimum": 10, "maximum": 99}}, "[0-9]{2}"),
        ({"json": '{"enum": ["x"]}'}, '"x"'),
    ],
)
def test_the_forms_of_vllm_in_both_kinds_of_request(
    client: OpenAI, asked: dict[str, Any], pattern: str
) -> None:
    extra = {"structured_outputs": asked}
    answer = chat(client, extra_body=extra).choices[0].message.content
    assert re.fullmatch(pattern, answer)
    text = client.completions.create(model=NAME, prompt="The", max_tokens=80, extra_body=extra)
    assert re.fullmatch(pattern, text.choices[0].text)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"response_format": by_schema({"not": {}})}, "not"),
        ({"response_format": by_schema({"type": "strin"})}, "Invalid type"),
        ({"extra_body": {"structured_outputs": {"regex": "a(b"}}}, "regex"),
        ({"extra_body": {"structured_outputs": {"json": "{"}}}, "not JSON"),
        ({"extra_body": {"structured_outputs": {"json": "[" * 200_000}}}, "not JSON"),
        (
            {
                "response_format": by_schema(SCHEMA),
                "extra_body": {"structured_outputs": {"choice": ["a"]}},
            },
            "not both",
        ),
        (
            {"response_format": by_schema(SCHEMA), "extra_body": {"min_tokens": 3}},
            "no least number",
        ),
    ],
)
def test_what_cannot_be_enforced_is_refused(
    client: OpenAI, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=problem):
        chat(client, **options)
