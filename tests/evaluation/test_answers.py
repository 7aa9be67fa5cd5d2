from __future__ import annotations

import json
from pathlib import Path

import pytest
from sacrebleu.metrics.chrf import CHRF

from modelwright.core.errors import InputError
from modelwright.evaluation.answers import (
    Question,
    answer,
    mark,
    names_object,
    prompt_tokens,
    read_questions,
    summarise,
)
from modelwright.inference.engine import Engine
from modelwright.tokens.tokenizer import Tokenizer


def question(target: str, object: str | None = None, id: int = 0) -> Question:
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": target}]
    return Question(id, {"messages": messages}, target, object)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("Use os.path.join(a, b).", "os.path.join", True),
        ("It is path.join.", "os.path.join", True),
        ("`path.join` does", "os.path.join", True),
        ("posix.path.join", "os.path.join", False),
        ("os.path.joined", "os.path.join", False),
        ("os.path.join.cache", "os.path.join", False),
        ("xos.path.join", "os.path.join", False),
        ("join them", "os.path.join", False),
        ("json.dumps writes", "json.dumps", True),
        ("dumps writes", "json.dumps", False),
        ("json_dumps", "json.dumps", False),
        ("the function abs.", "abs", True),
        ("absolute", "abs", False),
        ("math.abs", "abs", False),
        ("", "abs", False),
    ],
)
def test_names_object(text: str, name: str, expected: bool) -> None:
    assert names_object(text, name) is expected


def test_marks_and_figures() -> None:
    questions = [question("m.f adds.", "m.f"), question("m.g drops."), question("yes", "m.h")]
    answers = ["m.f adds. ", "it drops", "no"]
    marks = mark(answers, questions)
    assert [item.exact_match for item in marks] == [True, False, False]
    assert [item.names_object for item in marks] == [True, None, False]
    assert marks[1].chrf == CHRF().sentence_score("it drops", ["m.g drops."]).score
    figures = summarise(answers, questions, marks)
    assert figures["exact_match"] == pytest.approx(1 / 3)
    assert figures["names_object"] == pytest.approx(1 / 2)
    references = [[item.target for item in questions]]
    assert figures["chrf"] == CHRF().corpus_score(answers, references).score


def test_no_share_of_names_where_nothing_has_a_name() -> None:
    questions = [question("yes")]
    assert "names_object" not in summarise(["yes"], questions, mark(["yes"], questions))


def test_prompts_are_those_of_training(tokenizer: Tokenizer) -> None:
    chat = question("The answer.")
    whole = tokenizer.encode_chat(chat.row["messages"], add_generation_prompt=False)
    prompt = prompt_tokens(chat, tokenizer)
    assert whole[: len(prompt)] == prompt
    assert tokenizer.decode(whole[len(prompt) :]) == "The answer.\n"
    plain = Question(0, {"prompt": "Once", "completion": " upon"}, " upon", None)
    assert prompt_tokens(plain, tokenizer) == [tokenizer.end_of_text, *tokenizer.encode("Once")]


def test_answers_are_greedy_and_do_not_depend_on_their_neighbours(engine: Engine) -> None:
    questions = [question("x" * index, id=index) for index in range(5)]
    finished: list[int] = []
    together = answer(engine, questions, 8, finished.append)
    assert together == [answer(engine, [item], 8)[0] for item in questions]
    assert finished[-1] == 5
    assert any(together)


def test_read_both_forms(tmp_path: Path) -> None:
    path = tmp_path / "heldout.jsonl"
    chat = question("yes", "a.b").row | {"object": "a.b"}
    rows = [chat, {"prompt": "p", "completion": "c"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert read_questions(path) == [
        Question(0, chat, "yes", "a.b"),
        Question(1, rows[1], "c", None),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '"text"',
        "{}",
        '{"prompt": "p", "completion": 3}',
        '{"messages": []}',
        '{"messages": [{"role": "user", "content": "?"}]}',
        '{"messages": [{"role": "assistant"}]}',
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "heldout.jsonl"
    good = json.dumps({"prompt": "p", "completion": "c"})
    path.write_text(f"{good}\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_questions(path)
    assert error.value.where == f"{path}, line 2"
