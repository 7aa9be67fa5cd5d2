"""``modelwright compare``: what is compared, on which prompts, and a real process."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tiny_workspace import ENVIRONMENT, write_recipe

from modelwright.core.database import sqlite_url
from modelwright.core.workspace import Workspace
from modelwright.data.feedback.table import FeedbackTable
from modelwright.serving.comparing import compare as compare_module

RECIPE = {"name": "tiny", "budget": "1 step", "collect": {"sources": ["."]}}
ANSWERS = [
    {"prompt": "Why?", "answer_a": "yes", "answer_b": "no", "model_a": "x", "model_b": "y"},
    {"prompt": "How?", "answer_a": "so", "answer_b": "thus", "model_a": "x", "model_b": "y"},
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return write_recipe(tmp_path / "workspace", RECIPE)


def write(path: Path, *rows: dict) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What two models were to be compared on; nothing is loaded."""
    calls: list[Any] = []

    def compare_models(models, prompts, params, table, options) -> None:
        calls.append((models, prompts, params, options))
        raise SystemExit(0)

    monkeypatch.setattr(compare_module, "compare_models", compare_models)
    return calls


def test_a_file_of_answers_from_the_first_to_the_last(workspace: Workspace, tmp_path: Path) -> None:
    file = write(tmp_path / "answers.jsonl", *ANSWERS)
    command = [sys.executable, "-m", "modelwright", "compare", "--answers", file]
    command += ["--port", "0", "--person", "ana", "--seed", "3"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=workspace.root, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT
    ) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("compare at http://127.0.0.1:")
            address = line.split()[2]
            for number, row in enumerate(ANSWERS):
                pair = httpx2.get(f"{address}/state").json()["pair"]
                side = "left" if pair["left"] == row["answer_b"] else "right"
                body = {"number": number, "verdict": side}
                assert httpx2.post(f"{address}/judge", json=body).status_code == 200
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
    assert (
        output == "x won 0 to 2 against y (ties: 0, skipped: 0): 0 % (95 % interval 0 % to 66 %)\n"
    )
    table = FeedbackTable(sqlite_url(workspace.database), workspace.identity())
    kept = table.read()
    table.close()
    assert [(one.winner, one.person, one.seed) for one in kept] == [(1, "ana", 3)] * 2


def test_two_stages_on_the_held_out_examples(command, finished: Workspace, compared) -> None:
    result = command("compare", "pretrain", "finetune", "--limit", "1", cwd=finished.root)
    assert (result.exit_code, result.errors) == (0, "")
    ((models, prompts, params, options),) = compared
    assert models == {
        finished.artifact(stage).id: finished.artifact(stage).path.resolve()
        for stage in ("pretrain", "finetune")
    }
    held_out = (finished.artifact("examples").path / "heldout.jsonl").read_text().splitlines()
    first = json.loads(held_out[0])
    asked = first["messages"][:-1] if "messages" in first else first["prompt"]
    if isinstance(asked, str):
        asked = [{"role": "user", "content": asked}]
    assert [[message.model_dump() for message in prompt] for prompt in prompts] == [asked]
    assert (params.max_tokens, params.temperature) == (256, 0.7)
    assert (options.port, options.seed, options.person) == (8001, 0, "")


def test_folders_of_one_name_are_told_apart_by_their_paths(
    command, finished: Workspace, compared, tmp_path: Path
) -> None:
    model = finished.artifact("finetune").path
    for side in ("one", "two"):
        shutil.copytree(model, tmp_path / side / "model")
    prompts = write(tmp_path / "p.jsonl", {"prompt": "Why?", "id": 3})
    folders = [str(tmp_path / side / "model") for side in ("one", "two")]
    result = command("compare", *folders, "--prompts", prompts, cwd=finished.root)
    assert (result.exit_code, result.errors) == (0, "")
    assert list(compared[0][0]) == folders
    same = command("compare", folders[0], folders[0], "--prompts", prompts, cwd=finished.root)
    assert same.exit_code == 2
    assert "both are the same model" in same.errors


@pytest.mark.parametrize(
    "arguments",
    [(), ("a",), ("a", "b", "c"), ("a", "b", "--answers", "f"),
     ("--answers", "f", "--prompts", "g"), ("a", "--answers", "f")],
)  # fmt: skip
def test_wrong_use(command, workspace: Workspace, arguments: tuple[str, ...]) -> None:
    result = command("compare", *arguments, cwd=workspace.root)
    assert result.exit_code == 2
    assert "either two models or a file of answers" in result.errors


def test_no_prompts(command, finished: Workspace, copied: Workspace) -> None:
    shutil.rmtree(copied.artifact("examples").path)
    result = command("compare", "pretrain", "finetune", cwd=copied.root)
    assert result.exit_code == 2
    assert "give --prompts FILE" in result.errors


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "x", "answer_a": "y"}, "field 'answer_b'"),
        ({"prompt": "x", "answer_a": "y", "answer_b": 1}, "field 'answer_b'"),
        ({"prompt": "x", "answer_a": "y", "answer_b": "z"}, "answers of 'A' and 'B', not of 'x'"),
        ({**ANSWERS[0], "model_b": "x"}, "not of 'x' and 'y'"),
    ],
)
def test_a_bad_row_of_answers(
    command, workspace: Workspace, tmp_path: Path, row: dict, said: str
) -> None:
    file = write(tmp_path / "answers.jsonl", ANSWERS[0], row)
    result = command("compare", "--answers", file, cwd=workspace.root)
    assert result.exit_code == 1
    assert said in result.errors
    assert f"{file}, line 2" in result.errors
