"""Answers of a given form, from a model with random weights that would never give them."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import torch

from modelwright.core.errors import InputError
from modelwright.inference.completion import Completion
from modelwright.inference.engine import Engine
from modelwright.inference.sampling import SamplingParams
from modelwright.inference.structured import Structure

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 4},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 2},
        "kind": {"anyOf": [{"const": "x"}, {"type": "boolean"}, {"type": "null"}]},
    },
    "required": ["name", "age", "tags", "kind"],
    "additionalProperties": False,
}


CHAIN: dict[str, Any] = {"$defs": {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(1000)}}
RULES = "start: r0\n" + "\n".join(f"r{n}: r{n + 1}" for n in range(5000))
DEEP: dict[str, Any] = {"type": "integer"}
for _ in range(70):
    DEEP = {"type": "array", "items": DEEP}


def say(engine: Engine, structure: Structure, seed: int = 0, **asked: Any) -> Completion:
    params = SamplingParams(90, **{"temperature": 1.5, "seed": seed, **asked}, structure=structure)
    return engine.generate([[1, 2]], params)[0]


@pytest.mark.parametrize("seed", range(5))
def test_json_fits_its_schema(engine: Engine, seed: int) -> None:
    answer = say(engine, Structure.of("json_schema", PERSON), seed)
    jsonschema.validate(json.loads(answer.text), PERSON)
    assert answer.finish_reason == "stop"


@pytest.mark.parametrize("texts", [["yes", "no"], ['a "b"\n', "(c|d)", "世界"]])
def test_one_of_the_choices(engine: Engine, texts: list[str]) -> None:
    for seed in range(4):
        answer = say(engine, Structure.of("choice", texts), seed)
        assert answer.text in texts
        assert answer.finish_reason == "stop"


def test_a_regular_expression_and_a_grammar(engine: Engine) -> None:
    pattern = r"[0-9]{4}-[01][0-9]"
    assert re.fullmatch(pattern, say(engine, Structure.of("regex", pattern)).text)
    grammar = 'start: digit ("+" digit){2}\ndigit: /[0-9]/'
    assert re.fullmatch(r"\d\+\d\+\d", say(engine, Structure.of("grammar", grammar)).text)


def test_forms_as_large_as_they_may_be_do_no_harm(engine: Engine) -> None:
    """In a process of their own they would show as a crash; here the whole run would end."""
    chain: dict[str, Any] = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(198)}
    last = {"d198": {"type": "integer", "minimum": 5, "maximum": 5}}
    schema = {"$defs": {**chain, **last}, "$ref": "#/$defs/d0"}
    assert say(engine, Structure.of("json_schema", schema)).text == "5"
    rules = "start: r0\n" + "\n".join(f"r{n}: r{n + 1}" for n in range(397)) + '\nr397: "x"'
    assert say(engine, Structure.of("grammar", rules)).text == "x"


def test_rows_with_a_form_leave_the_others_alone(engine: Engine) -> None:
    free = SamplingParams(12, temperature=1.5, seed=3)
    alone = engine.generate([[1, 2]], free)[0]
    sequences = [
        engine.add([1, 2], free),
        engine.add([1, 2], SamplingParams(12, seed=1, structure=Structure.of("choice", ["yes"]))),
    ]
    while engine.has_work:
        engine.step()
    assert sequences[0].generated == alone.tokens
    assert sequences[1].text == "yes"


def test_bias_and_penalties_do_not_break_it(engine: Engine) -> None:
    x = engine.tokenizer.encode("x")[0]
    answer = say(
        engine, Structure.of("choice", ["aaaaaaaa"]), logit_bias={x: 100.0}, presence_penalty=2.0
    )
    assert answer.text == "aaaaaaaa"


def test_what_a_model_is_sure_of_is_chosen_where_it_is_allowed(engine: Engine) -> None:
    with torch.no_grad():
        greedy = say(engine, Structure.of("regex", "[ab]"), temperature=0.0).text
    logits = engine.model(torch.tensor([[1, 2]]))[0, -1]
    a, b = (float(logits[engine.tokenizer.encode(one)[0]].detach()) for one in "ab")
    assert greedy == ("a" if a > b else "b")


@pytest.mark.parametrize(
    ("form", "value", "problem"),
    [
        ("json_schema", {"type": "strin"}, "Invalid type"),
        ("json_schema", {"not": {"type": "string"}}, "not"),
        ("json_schema", {"type": "array", "uniqueItems": True}, "uniqueItems"),
        ("json_schema", {"type": "string", "format": "foo"}, "Unknown format"),
        ("json_schema", {"type": "string", "pattern": "(?=a)b"}, "regex"),
        ("json_schema", {"$ref": "#/definitions/x"}, "does not exist"),
        ("json_schema", {"$ref": "https://example.org/x"}, "cannot be"),
        ("json_schema", 7, "cannot be"),
        (
            "json_schema",
            {"type": "object", "required": ["a"], "properties": {"a": False}},
            "nsatisf",
        ),
        ("json_schema", {"$ref": "#"}, "cannot be"),
        ("json_schema", {"type": "integer", "multipleOf": 1_000_003}, "multipleOf"),
        ("json_schema", CHAIN, "references"),
        ("json_schema", DEEP, "levels"),
        ("choice", ["x" * 30_000] * 3, "characters"),
        ("grammar", RULES, "rules"),
        ("regex", "(abc|def)?" * 20_000, "characters"),
        ("regex", "a(b|c", "unclosed group"),
        ("grammar", 'start: "a" x', "unknown name"),
    ],
)
def test_what_cannot_be_enforced_is_refused(
    engine: Engine, form: Any, value: object, problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        engine.add([1], SamplingParams(5, structure=Structure.of(form, value)))
    assert not engine.has_work


@pytest.mark.parametrize("asked", [{"min_tokens": 2}, {"ignores_end": True}])
def test_a_form_says_what_ends_it(asked: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="of a given form"):
        SamplingParams(5, structure=Structure.of("choice", ["a"]), **asked)
