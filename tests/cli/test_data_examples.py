"""``modelwright data examples``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Command

from modelwright.core.workspace import Workspace

USER, SAID = {"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes.\x1b[2J"}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": [USER, SAID]}) + "\n")
    return path


def test_examples_are_shown_with_what_is_learnt(
    command: Command, rows: Path, tokenizer_folder: Path
) -> None:
    result = command("data", "examples", str(rows), "--tokenizer", str(tokenizer_folder))
    assert result.exit_code == 0, result.errors
    shown = "<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\n[[Yes.\\x1b[2J<|im_end|>]]"
    assert shown in result.output
    assert "rows: 1 conversation" in result.output
    assert "longer than" not in result.output
    few = ("--show", "0", "--context", "9")
    result = command("data", "examples", str(rows), "--tokenizer", str(tokenizer_folder), *few)
    assert "[[" not in result.output
    assert "longer than the context of 9 tokens: 1" in result.output


def test_bad_rows_are_counted_and_fail(
    command: Command, rows: Path, tokenizer_folder: Path
) -> None:
    with open(rows, "a") as file:
        for bad in ({"messages": [USER, USER, SAID]}, {"messages": [USER]}, {"text": "x"}):
            file.write(json.dumps(bad) + "\n")
    result = command("data", "examples", str(rows), "--tokenizer", str(tokenizer_folder))
    assert result.exit_code == 1
    assert "1 x two messages of the user in a row" in result.output
    assert f"  {rows}, line 2" in result.output
    assert "1 x no answer of the assistant" in result.output
    assert "1 x fields of no known shape" in result.output


def test_an_artifact_and_the_model_that_learnt_from_it(command: Command, copied: Workspace) -> None:
    (examples,) = (one for one in copied.artifacts() if one.kind == "examples")
    model = next(one for one in copied.artifacts() if one.kind == "model")
    result = command("data", "examples", str(examples.path), "--tokenizer", str(model.path))
    assert result.exit_code == 0, result.output + result.errors
    assert "longer than the context of" in result.output
    counts = examples.manifest.counts
    total = counts["examples_train"] + counts["examples_heldout"]
    listed = result.output.partition("rows: ")[2].splitlines()[0]
    assert sum(int(part.split()[0]) for part in listed.split(", ")) == total


def test_fields_and_wrong_use(command: Command, tmp_path: Path, tokenizer_folder: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"question": "Hi?", "reply": "Yes."}) + "\n")
    names = ("--fields", "prompt=question", "--fields", "completion=reply")
    given = ("data", "examples", str(path), "--tokenizer", str(tokenizer_folder))
    assert "<|endoftext|>Hi?[[Yes.<|endoftext|>]]" in command(*given, *names).output
    assert "assistant\n[[Yes.<|im_end|>]]" in command(*given, *names, "--chat").output
    assert command(*given, "--fields", "prompt").exit_code == 2
    assert command(*given[:3]).exit_code == 2
    assert command(*given[:2], str(tmp_path / "missing"), *given[3:]).exit_code == 2
    result = command(*given[:4], str(tmp_path))
    assert result.exit_code == 1
    assert "tokenizer.json is missing" in result.errors


def test_colours_on_a_terminal(
    rows: Path, tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    result = command("data", "examples", str(rows), "--tokenizer", str(tokenizer_folder))
    assert "\x1b[1;32mYes." in result.output
    assert "[[" not in result.output
