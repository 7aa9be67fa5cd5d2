"""Shapes of examples: which row has which, and what becomes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.examples import FORMS, form_of
from modelwright.data.shapes.fields import BadRowError
from modelwright.data.shapes.table import SHAPES, recognise
from modelwright.data.shapes.turns import check_order, read_messages

USER = {"role": "user", "content": "Hi?"}
SAID = {"role": "assistant", "content": "Yes."}
SYSTEM = {"role": "system", "content": "Be short."}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
CALLS = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "2"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
DIALOGUE = "\n\nHuman: Hi?\n\nAssistant: "


def read(row: dict[str, Any]) -> dict[str, Any]:
    return recognise(row.keys()).read(row)


def said(content: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": content}]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": [USER, SAID]}, {"messages": [USER, SAID]}),
        (
            {"messages": [SYSTEM, USER, CALLS, RESULT, SAID], "tools": [TOOL]},
            {"messages": [SYSTEM, USER, CALLS, RESULT, SAID], "tools": [TOOL]},
        ),
        ({"messages": [USER, {**SAID, "name": None}]}, {"messages": [USER, SAID]}),
        ({"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": "b"}),
        (
            {"prompt": [USER], "completion": [SAID]},
            {"prompt": [USER], "completion": [SAID]},
        ),
        (
            {"prompt": "a", "completion": "b", "label": False},
            {"prompt": "a", "completion": "b", "label": False},
        ),
        (
            {"prompt": "a", "chosen": "b", "rejected": "c", "margin": 2},
            {"prompt": "a", "chosen": "b", "rejected": "c", "margin": 2.0},
        ),
        (
            {"chosen": [USER, SAID], "rejected": [USER, *said("No.")]},
            {"prompt": [USER], "chosen": [SAID], "rejected": said("No.")},
        ),
        (
            {"chosen": "It is very good", "rejected": "It is vast"},
            {"prompt": "It is v", "chosen": "ery good", "rejected": "ast"},
        ),
        (
            {"chosen": "It is good", "rejected": "It is bad"},
            {"prompt": "It is", "chosen": " good", "rejected": " bad"},
        ),
        (
            {"chosen": f"{DIALOGUE}Yes.", "rejected": f"{DIALOGUE}No. "},
            {"prompt": [USER], "chosen": [SAID], "rejected": said("No.")},
        ),
        (
            {"prompt": "Hi?", "chosen": [USER, SAID], "rejected": [USER, *said("No.")]},
            {"prompt": [USER], "chosen": [SAID], "rejected": said("No.")},
        ),
        ({"prompt": "1+1=", "answer": "2"}, {"prompt": "1+1=", "answer": "2"}),
        (
            {"prompt": [USER], "tests": ["f(1) == 2"], "tools": json.dumps([TOOL["function"]])},
            {"prompt": [USER], "tests": ["f(1) == 2"], "tools": [TOOL]},
        ),
        (
            {"instruction": "Add", "input": "1 1", "output": "2", "history": [["Hi?", "Yes."]]},
            {"messages": [USER, SAID, {"role": "user", "content": "Add\n1 1"}, *said("2")]},
        ),
        (
            {"instruction": "Hi?", "input": "", "output": "Yes.", "system": "Be short."},
            {"messages": [SYSTEM, USER, SAID]},
        ),
        (
            {"instruction": "Hi?", "chosen": "Yes.", "rejected": "No."},
            {"prompt": [USER], "chosen": [SAID], "rejected": said("No.")},
        ),
        (
            {"instruction": "Hi?", "output": "Yes.", "kto_tag": True},
            {"prompt": [USER], "completion": [SAID], "label": True},
        ),
        (
            {
                "conversations": [
                    {"from": "human", "value": "Hi?"},
                    {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
                    {"from": "observation", "value": "2"},
                    {"from": "gpt", "value": "Yes."},
                ],
                "system": "Be short.",
                "tools": json.dumps([TOOL]),
            },
            {"messages": [SYSTEM, USER, CALLS, RESULT, SAID], "tools": [TOOL]},
        ),
        (
            {
                "conversations": [{"from": "human", "value": "Hi?"}],
                "chosen": {"from": "gpt", "value": "Yes."},
                "rejected": {"from": "gpt", "value": "No."},
            },
            {"prompt": [USER], "chosen": [SAID], "rejected": said("No.")},
        ),
        (
            {
                "conversations": [
                    {"from": "human", "value": "Hi?"},
                    {"from": "gpt", "value": "Yes."},
                ],
                "kto_tag": False,
            },
            {"prompt": [USER], "completion": [SAID], "label": False},
        ),
    ],
)
def test_every_shape_becomes_a_form(row: dict[str, Any], expected: dict[str, Any]) -> None:
    found = read(row)
    assert found == expected
    assert form_of(found) in FORMS


CALL_AS_TEXT = {"function": {"name": "f", "arguments": '{"x": 1}'}, "type": "function", "id": "1"}


def test_calls_come_in_several_forms() -> None:
    bare = {"name": "f", "arguments": {"x": 1}}
    messages = [USER, {"role": "assistant", "tool_calls": [CALL_AS_TEXT, bare]}, RESULT, SAID]
    _, calls, *_ = read({"messages": messages})["messages"]
    assert calls == {"role": "assistant", "content": "", "tool_calls": [{**CALL, "id": "1"}, CALL]}


@pytest.mark.parametrize(
    ("row", "field", "problem"),
    [
        ({"messages": [SAID, USER, SAID]}, "messages[0]", "the assistant begins"),
        ({"messages": [USER, USER, SAID]}, "messages[1]", "the user in a row"),
        ({"messages": [USER, SAID, SAID]}, "messages[2]", "the assistant in a row"),
        ({"messages": [SYSTEM, SYSTEM, USER, SAID]}, "messages[1]", "more than one message of"),
        ({"messages": [USER, SAID, SYSTEM, SAID]}, "messages[2]", "not the first"),
        ({"messages": [USER, RESULT, SAID]}, "messages[1]", "not called"),
        ({"messages": [USER, CALLS, USER, SAID]}, "messages[2]", "call without its result"),
        ({"messages": [USER, CALLS, RESULT, USER, SAID]}, "messages[3]", "does not answer"),
        ({"messages": [USER, SAID, USER]}, "messages[2]", "answered by nobody"),
        ({"messages": [USER]}, "messages", "no answer"),
        ({"messages": [USER, {**SAID, "weight": 1}]}, "messages[1].weight", "unknown; known: role"),
        ({"messages": [{**USER, "tool_calls": [CALL]}, SAID]}, "messages[0].tool_calls", "else"),
        (
            {"messages": [USER, {**CALLS, "tool_calls": [{"name": "f", "arguments": "{"}]}]},
            "messages[1].tool_calls[0].arguments",
            "not JSON",
        ),
        (
            {"messages": [USER, {**CALLS, "tool_calls": [{"name": "f", "arguments": "3"}]}]},
            "messages[1].tool_calls[0].arguments",
            "not an object",
        ),
        ({"messages": [USER, {**CALLS, "tool_calls": [3]}]}, "messages[1].tool_calls[0]", "not a"),
        ({"messages": [USER, SAID], "tools": [{"x": 1}]}, "tools[0].name", "is missing"),
        ({"messages": [USER, SAID], "tools": "[{"}, "tools", "not JSON"),
        ({"prompt": "a", "completion": [SAID]}, "prompt", "all texts or all messages"),
        (
            {"prompt": "Hm?", "chosen": [USER, SAID], "rejected": [USER, *said("No.")]},
            "prompt",
            "not the question before both answers",
        ),
        ({"prompt": [USER], "completion": [USER, SAID]}, "prompt + completion[1]", "in a row"),
        ({"prompt": [USER, SAID], "completion": [SAID]}, "prompt[1]", "what is to be answered"),
        ({"prompt": "a", "completion": "b", "label": 1}, "label", "neither true nor false"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "rejected", "the same as 'chosen'"),
        ({"prompt": "a", "chosen": "b", "rejected": " "}, "rejected", "is empty"),
        (
            {"prompt": "a", "chosen": "b", "rejected": "c", "margin": float("nan")},
            "margin",
            "not a finite number",
        ),
        ({"chosen": "Good", "rejected": "Bad"}, "rejected", "begins otherwise"),
        ({"chosen": "It is", "rejected": "It is good"}, "chosen", "is empty"),
        ({"chosen": [USER, SAID], "rejected": [USER, SAID]}, "rejected", "the same as 'chosen'"),
        ({"chosen": f"{DIALOGUE}Yes.", "rejected": DIALOGUE}, "rejected[1]", "Assistant says"),
        ({"prompt": [USER, SAID], "answer": "2"}, "prompt[1]", "what is to be answered"),
        ({"instruction": "", "output": "x"}, "instruction", "is empty"),
        ({"instruction": "a", "output": "x", "history": [["a"]]}, "history[0]", "not a pair"),
        ({"conversations": [{"from": "bot", "value": "x"}]}, "conversations[0].from", "is 'bot'"),
        ({"conversations": []}, "conversations", "not a list"),
        (
            {"conversations": [{"from": "human", "value": "x", "weight": 1}]},
            "conversations[0].weight",
            "is unknown",
        ),
        ({"prompt": "a", "chosen": "b"}, "rejected", "the nearest shape is pair"),
        ({"prompt": "a", "chosen": "b", "rejectd": "c"}, "rejected", "the nearest shape is pair"),
        ({"instruction": "a", "response": "b"}, "output", "the nearest shape is Alpaca"),
        ({"completion": "b"}, "prompt", "is missing"),
        ({"text": "b", "licence": "MIT"}, "", "none of the known shapes, but 'text'"),
        ({}, "", "none of the known shapes, but nothing"),
        ({"prompt": "a", "messages": [USER, SAID]}, "", "messages (messages) or prompt (prompt)"),
    ],
)
def test_what_is_wrong_is_named(row: dict[str, Any], field: str, problem: str) -> None:
    with pytest.raises(BadRowError) as caught:
        read(row)
    assert caught.value.field == field
    assert problem in caught.value.problem


KEYS = sorted({key for shape in SHAPES for key in shape.keys | shape.optional} | {"id", "answer"})


@given(keys=st.sets(st.sampled_from(KEYS)))
def test_the_keys_alone_decide(keys: set[str]) -> None:
    try:
        found = recognise(keys)
    except BadRowError:
        return
    assert found.keys <= keys
    assert recognise(sorted(keys, reverse=True)) is found
    others = [shape for shape in SHAPES if shape.keys <= keys and shape is not found]
    assert all(shape.keys < found.keys for shape in others)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9).filter(str.strip)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Conversations in good order."""
    messages = [SYSTEM] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(TEXT)})
        for _ in range(draw(st.integers(0, 2))):
            results = draw(st.lists(TEXT, min_size=1, max_size=2))
            messages += [CALLS, *({"role": "tool", "content": text} for text in results)]
        messages.append({"role": "assistant", "content": draw(TEXT)})
    return messages


def is_answer(message: dict[str, Any]) -> bool:
    return message["role"] == "assistant" and not message.get("tool_calls")


@given(messages=conversations(), data=st.data())
def test_good_order_passes_and_no_message_can_be_left_out_unseen(
    messages: list[dict[str, Any]], data: st.DataObject
) -> None:
    checked = read_messages(messages, "messages")
    assert checked == messages
    check_order(checked, "messages")
    # Without an answer or a question two of a kind meet, or the end is missing.
    places = [
        n for n, message in enumerate(messages) if message["role"] == "user" or is_answer(message)
    ]
    out = data.draw(st.sampled_from(places))
    with pytest.raises(BadRowError):
        check_order(checked[:out] + checked[out + 1 :], "messages")
