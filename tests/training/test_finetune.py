import json
from pathlib import Path

import pytest

from modelwright.core.errors import InputError
from modelwright.evaluation.answers import prompt_tokens, read_questions
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.finetune import TOO_LONG, _tokenize, tokenize_example

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
    kept = _tokenize(path, tokenizer, context=12, dropped=dropped)
    assert len(kept) + dropped[TOO_LONG] == 3
    assert dropped[TOO_LONG] >= 1


@pytest.mark.parametrize("line", ["{", "[]", '{"prompt": "x"}', '"text"'])
def test_a_bad_row_names_its_line(line: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n" + line + "\n")
    with pytest.raises(InputError, match="line 2"):
        _tokenize(path, tokenizer, 64, {})
