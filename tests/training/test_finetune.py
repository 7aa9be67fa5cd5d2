import json
from pathlib import Path

import pytest

from modelwright.core.errors import InputError
from modelwright.evaluation.answers import prompt_tokens, read_questions
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.tokenized import (
    FOR_ALIGNMENT,
    TOO_LONG,
    require_template,
    tokenize_example,
    tokenize_file,
)

ROWS = [
    {"prompt": "Q: two?\nA: ", "completion": "yes"},
    {"prompt": "a", "completion": " b"},
    {
        "messages": [
            {"role": "user", "content": " two? "},
            {"role": "assistant", "content": "yes"},
        ]
    },
]


@pytest.mark.parametrize("row", ROWS)
def test_training_and_evaluation_give_the_same_ids(
    row: dict[str, object], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "heldout.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (question,) = read_questions(path)
    prompt = prompt_tokens(question, tokenizer)
    example = tokenize_example(row, tokenizer)
    assert example.ids[: len(prompt)].tolist() == prompt
    assert not example.trained[: len(prompt)].any()
    assert example.trained[len(prompt)]


def test_too_long_examples_are_counted(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    dropped = {TOO_LONG: 0}
    kept = tokenize_file(path, tokenizer, 12, "all_turns", dropped)
    assert len(kept) + dropped[TOO_LONG] == 3
    assert dropped[TOO_LONG] >= 1


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"completion": "x"}',
        '"text"',
        '{"messages": "x"}',
        '{"messages": ["x"]}',
        '{"messages": [{"role": "robot", "content": "x"}]}',
        '{"messages": [{"role": "user", "content": "x"}]}',  # nothing to learn
    ],
)
def test_a_bad_row_names_its_line(line: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n" + line + "\n")
    with pytest.raises(InputError, match="line 2"):
        tokenize_file(path, tokenizer, 64, "all_turns", {})


def test_rows_for_alignment_are_counted(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    pair = {"prompt": "a", "chosen": "b", "rejected": "c"}
    path.write_text("".join(json.dumps(row) + "\n" for row in (ROWS[0], pair, {"prompt": "a"})))
    dropped: dict[str, int] = {}
    assert len(tokenize_file(path, tokenizer, 64, "all_turns", dropped)) == 1
    assert dropped == {FOR_ALIGNMENT: 2}


def test_a_template_that_cannot_be_trained_with_is_refused(
    tokenizer: Tokenizer, tokenizer_folder: Path
) -> None:
    notes: list[str] = []
    require_template(tokenizer, "all_turns", notes.append)
    assert notes == []
    changed = Tokenizer.load(tokenizer_folder)
    changed.template = "{{ messages|length }}" + changed.template
    with pytest.raises(InputError, match="before an answer in training is not what"):
        require_template(changed, "all_turns", notes.append)
    changed.template = tokenizer.template.replace(
        "{{- '<|im_end|>' }}", "{{- ' (last)' if loop.last else '' }}{{- '<|im_end|>' }}"
    )
    require_template(changed, "last_turn", notes.append)
    assert notes == []
    require_template(changed, "all_turns", notes.append)
    assert "--train-on last_turn" in notes[0]
