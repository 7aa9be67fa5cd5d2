"""Which form an answer is to have: OpenAI's ``response_format``, vLLM's ``structured_outputs``."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from modelwright.core.errors import InputError
from modelwright.inference.structured import Structure
from modelwright.serving.api.strict_request import StrictRequest, Text

MOST_TEXTS = 256
ANY_OBJECT = {"type": "object"}


class TextFormat(StrictRequest):
    """Any text."""

    type: Literal["text"]


class JsonObjectFormat(StrictRequest):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchema(StrictRequest):
    """A schema with its name; it is always enforced, with or without ``strict``."""

    name: Text
    description: Text | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(StrictRequest):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")
]


class StructuredOutputs(StrictRequest):
    """An extension: exactly one of the forms."""

    json_: dict[str, Any] | Text | None = Field(None, alias="json", description="a JSON schema")
    json_object: Literal[True] | None = None
    regex: Text | None = Field(None, description="a regular expression, as Rust's regex has it")
    choice: (
        Annotated[
            list[Annotated[Text, Field(min_length=1)]],
            Field(min_length=1, max_length=MOST_TEXTS),
        ]
        | None
    ) = None
    grammar: Text | None = Field(None, description="a grammar, as Lark has it")

    @model_validator(mode="after")
    def _check_one(self) -> StructuredOutputs:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of json, json_object, regex, choice, grammar")
        return self

    def structure(self) -> Structure:
        """As the engine takes it; raises InputError if the schema is a text that is not JSON."""
        if self.regex is not None:
            return Structure.of("regex", self.regex)
        if self.choice is not None:
            return Structure.of("choice", self.choice)
        if self.grammar is not None:
            return Structure.of("grammar", self.grammar)
        if self.json_object:
            return Structure.of("json_schema", ANY_OBJECT)
        return Structure.of("json_schema", _read(self.json_))


def structure_of_format(format: ResponseFormat | None) -> Structure | None:
    """As the engine takes it; None for any text."""
    if isinstance(format, JsonObjectFormat):
        return Structure.of("json_schema", ANY_OBJECT)
    if isinstance(format, JsonSchemaFormat):
        schema = format.json_schema.schema_
        return Structure.of("json_schema", ANY_OBJECT if schema is None else schema)
    return None


def _read(schema: Any) -> Any:
    if not isinstance(schema, str):
        return schema
    try:
        return json.loads(schema)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the schema is not JSON: {error}", fix="correct it") from None
