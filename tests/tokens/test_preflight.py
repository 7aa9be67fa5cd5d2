"""What is said of examples before they are trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from foreign_templates import THINKING, write_foreign_tokenizer

from modelwright.core.examples import Row
from modelwright.tokens.example_tokens import encode_example, encode_pair, encode_prompt
from modelwright.tokens.preflight import NO_END, NOTHING_TRAINED, REFUSED, inspect, pieces
from modelwright.tokens.tokenizer import Tokenizer


def chat(*contents: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant") * len(contents)
    return [{"role": role, "content": text} for role, text in zip(roles, contents, strict=False)]


def rows(*given: Row) -> list[tuple[str, Row]]:
    return [(f"line {number}", row) for number, row in enumerate(given, 1)]


ALL = rows(
    {"messages": chat("One?", "Two.", "Three?", "Four.")},
    {"prompt": "a", "completion": "b"},
    {"prompt": chat("One?"), "chosen": chat("x", "Yes.")[1:], "rejected": chat("x", "No.")[1:]},
    {"prompt": chat("One?"), "completion": chat("x", "Yes.")[1:], "label": True},
    {"prompt": chat("One?"), "answer": "2"},
)


def test_every_form_is_counted(tokenizer: Tokenizer) -> None:
    found = inspect(ALL, tokenizer, context=20)
    assert found.forms == dict.fromkeys(
        ("conversation", "completion", "preference", "labelled", "prompt"), 1
    )
    lengths = [len(answer.ids) for shown in found.shown for answer in shown.answers]
    assert found.lengths == lengths
    assert len(lengths) == 6
    longest = [max(len(answer.ids) for answer in shown.answers) for shown in found.shown]
    assert found.too_long == sum(length > 20 for length in longest) > 0
    assert found.problems == {}
    assert found.quantiles([0, 0.5, 1]) == [min(lengths), sorted(lengths)[2], max(lengths)]
    assert inspect([], tokenizer, None).quantiles([0.5]) == []


def test_pieces_say_what_is_learnt(tokenizer: Tokenizer) -> None:
    example = encode_example(ALL[0][1], tokenizer)
    start, end = "<|im_start|>", "<|im_end|>"
    assert pieces(example, tokenizer) == [
        (f"{start}user\nOne?{end}\n{start}assistant\n", False),
        (f"Two.{end}", True),
        (f"\n{start}user\nThree?{end}\n{start}assistant\n", False),
        (f"Four.{end}", True),
        ("\n", False),
    ]
    last = encode_example(ALL[0][1], tokenizer, "last_turn")
    assert last.ids == example.ids
    assert [text for text, is_learnt in pieces(last, tokenizer) if is_learnt] == [f"Four.{end}"]
    text = encode_example(ALL[1][1], tokenizer)
    assert pieces(text, tokenizer) == [("<|endoftext|>a", False), ("b<|endoftext|>", True)]


def test_only_the_answer_of_a_pair_is_learnt(tokenizer: Tokenizer) -> None:
    before = chat("One?", "Two.", "Three?")
    answers = {"chosen": chat("x", "Yes.")[1:], "rejected": chat("x", "No.")[1:]}
    row = {"prompt": before, **answers}
    asked = encode_prompt(row, tokenizer)
    for answer, text in zip(encode_pair(row, tokenizer), ("Yes.", "No."), strict=True):
        assert answer.ids[: len(asked)] == asked
        learnt = [text for text, is_learnt in pieces(answer, tokenizer) if is_learnt]
        assert learnt == [f"{text}<|im_end|>"]


def test_what_would_be_refused_is_named(tokenizer_folder: Path) -> None:
    tokenizer = Tokenizer.load(tokenizer_folder)
    tokenizer.template = tokenizer.template.replace(
        "{% generation %}",
        "{% if message['content'] == 'odd' %}{% generation %}{% endgeneration %}"
        "{% endif %}{% generation %}",
    ).replace("{{- '<|im_end|>' }}{% endgeneration %}", "{% endgeneration %}<|im_end|>")
    given = rows(
        {"messages": chat("One?", "Two.")},
        {"messages": chat("One?", "odd")},
        {"messages": [*chat("One?", ""), {"role": "user", "content": "?"}]},
    )
    found = inspect(given, tokenizer, None)
    assert found.problems[NO_END] == ["line 1"]
    assert [place for reason, place in found.problems.items() if REFUSED in reason] == [["line 2"]]
    assert found.problems[NOTHING_TRAINED] == ["line 3"]


@pytest.mark.parametrize("show", [0, 3, 50])
def test_some_rows_are_shown_in_their_order(tokenizer: Tokenizer, show: int) -> None:
    given = rows(*({"prompt": str(number), "completion": "b"} for number in range(40)))
    shown = inspect(given, tokenizer, None, show=show).shown
    places = [int(one.where.removeprefix("line ")) for one in shown]
    assert places == sorted(set(places))
    assert len(places) == min(show, 40)
    assert show != 3 or max(places) > 3


def test_last_turn_helps_a_template_that_forgets(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_foreign_tokenizer(THINKING, tmp_path / "thinking"))
    example = encode_example(ALL[0][1], tokenizer, "last_turn")
    learnt = [text for text, is_learnt in pieces(example, tokenizer) if is_learnt]
    assert learnt == ["<think>\n\n</think>\n\nFour.<|im_end|>"]
