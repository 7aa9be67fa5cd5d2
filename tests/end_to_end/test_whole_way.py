"""From a folder of text to a model that answers, through the command line alone."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_workspace import ENVIRONMENT, MADE, SETTINGS, contents, modelwright, write_sources
from transformers import AutoModelForCausalLM, AutoTokenizer

from modelwright.core.files import write_text
from modelwright.core.workspace import Workspace
from modelwright.data.corpus import read_texts
from modelwright.models.pretrained import load_model
from modelwright.tokens.tokenizer import Tokenizer


def succeed(*arguments: str, cwd: Path, stdin: str = "") -> str:
    """Run the command; returns what it printed."""
    result = modelwright(*arguments, cwd=cwd, stdin=stdin)
    assert result.returncode == 0, result.stderr
    return result.stdout


def change(workspace: Workspace, **parts: Any) -> None:
    """Edit the recipe as a user would."""
    settings = yaml.safe_load(workspace.recipe.read_text(encoding="utf-8"))
    write_text(workspace.recipe, yaml.safe_dump({**settings, **parts}, allow_unicode=True))


def stale(plan: str) -> list[str]:
    """The stages that a plan names as stale."""
    return [line.split()[0] for line in plan.splitlines() if line.split()[1:2] == ["stale"]]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Made by ``init`` and ``run`` in a folder with a name that needs care."""
    home = tmp_path_factory.mktemp("home")
    write_sources(home / "my notes")
    flags = ("--source", "my notes/text", "--examples", "my notes/examples.jsonl")
    succeed("init", "dés Modèles", *flags, "--budget", "3 steps", cwd=home)
    workspace = Workspace(home / "dés Modèles")
    change(workspace, **{name: SETTINGS[name] for name in SETTINGS if name != "name"})
    printed = succeed("run", cwd=workspace.root)
    assert stale(printed) == [stage.name for stage in MADE]
    assert "next:   modelwright chat, or modelwright serve" in printed
    return workspace


def test_all_is_there_and_nothing_is_left_to_do(workspace: Workspace) -> None:
    stages = [artifact.manifest.stage for artifact in workspace.artifacts()]
    assert stages == [stage.name for stage in MADE]
    report = (workspace.root / "report.html").read_text(encoding="utf-8")
    assert "dés Modèles" in report
    shown = succeed("show", "--check", cwd=workspace.root)
    assert shown.count("files as made") == len(MADE)
    traced = succeed("trace", "finetune", cwd=workspace.root)
    assert "files:text: " in traced
    document = succeed("trace", "second.md", cwd=workspace.root)
    assert "2 models learnt from it" in document

    before = contents(workspace.artifacts_folder)
    again = succeed("run", cwd=workspace.root)
    assert "nothing to do: everything is up to date" in again
    assert stale(again) == []
    assert contents(workspace.artifacts_folder) == before


def test_an_edited_setting_runs_only_what_depends_on_it(workspace: Workspace) -> None:
    before = {artifact.id for artifact in workspace.artifacts()}
    change(workspace, evaluate={**SETTINGS["evaluate"], "max_questions": 1})
    printed = succeed("run", cwd=workspace.root)
    assert stale(printed) == ["evaluate"]
    assert "evaluate   stale  max_questions: 2 → 1" in printed
    made = [one.manifest.stage for one in workspace.artifacts() if one.id not in before]
    assert made == ["evaluate"]
    change(workspace, evaluate=SETTINGS["evaluate"])


@contextmanager
def serving(workspace: Workspace) -> Iterator[str]:
    """``modelwright serve`` on a free port; gives its address."""
    command = [sys.executable, "-m", "modelwright", "serve", "--port", "0", "--name", "mine"]
    with subprocess.Popen(
        command, cwd=workspace.root, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("mine answers at http://127.0.0.1:")
            yield line.split()[3]
        finally:
            process.terminate()
    assert process.returncode == 0


def ask(address: str, body: dict[str, Any] | None = None) -> bytes:
    """GET, or POST of a JSON body."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, data, headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: bytes = response.read()
        return answer


def test_the_newest_model_is_served(workspace: Workspace) -> None:
    with serving(workspace) as address:
        assert json.loads(ask(f"{address}/v1/models"))["data"][0]["id"] == "mine"
        assert b"<html" in ask(address)
        body = {
            "model": "mine",
            "messages": [{"role": "user", "content": "What is the number 3?"}],
            "max_tokens": 5,
            "temperature": 0,
        }
        answer = json.loads(ask(f"{address}/v1/chat/completions", body))
        assert answer["choices"][0]["message"]["role"] == "assistant"
        assert 0 < answer["usage"]["completion_tokens"] <= 5
        streamed = ask(f"{address}/v1/chat/completions", {**body, "stream": True}).decode()
        assert streamed.endswith("data: [DONE]\n\n")
        pieces = [
            json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")
        ]
        text = "".join(piece["choices"][0]["delta"].get("content") or "" for piece in pieces)
        assert text == answer["choices"][0]["message"]["content"]


def test_questions_from_a_pipe(workspace: Workspace) -> None:
    flags = ("--temperature", "0", "--max-tokens", "5")
    questions = "What is the number 3?\n\nWhat is the number 4?\n"
    first = succeed("chat", *flags, cwd=workspace.root, stdin=questions)
    model = str(workspace.artifact("finetune").path)
    assert succeed("chat", model, *flags, cwd=workspace.root.parent, stdin=questions) == first
    assert first.count("\n") >= 2


def test_every_stage_by_hand_and_the_model_in_transformers(tmp_path: Path) -> None:
    text, examples = write_sources(tmp_path)
    rates = ("--learning-rate", "1e-3", "--matrix-learning-rate", "1e-3", "--batch-rows", "2")
    shape = ("--hidden-size", "64", "--layers", "1", "--sequence-length", "32")
    small = ("--max-text-bytes", "512", "--max-questions", "2", "--max-answer-tokens", "4")
    way = [
        ("collect", "--sources", str(text)),
        ("annotate", "--corpus", "collect"),
        ("prepare", "--corpus", "annotate"),
        ("examples", "--sources", str(examples)),
        ("dial", "--corpus", "prepare", "--examples", "examples", "--budget", "3 steps"),
        ("tokenizer", "--corpus", "prepare", "--vocabulary-size", "320"),
        ("shards", "--corpus", "prepare", "--tokenizer", "tokenizer"),
        ("pretrain", "--shards", "shards", "--tokenizer", "tokenizer", "--dial", "dial", *shape),
        ("finetune", "--base", "pretrain", "--examples", "examples", "--budget", "2 steps", *rates),
        (
            "evaluate",
            "--model",
            "finetune",
            "--corpus",
            "prepare",
            "--examples",
            "examples",
            *small,
        ),
    ]
    assert [stage for stage, *_ in way] == [stage.name for stage in MADE]
    for stage, *flags in way:
        plan = succeed(stage, *flags, "--out", stage, "--dry-run", cwd=tmp_path)
        assert plan == f"{stage}: not made yet\n"
        assert not (tmp_path / stage).exists()
        printed = succeed(stage, *flags, "--out", stage, cwd=tmp_path)
        assert printed.splitlines()[-1] == str(tmp_path / stage)
        assert (tmp_path / stage / "manifest.json").is_file()
    assert succeed(*way[2], "--out", "prepare", cwd=tmp_path) == "prepare: up to date\n"

    check_in_transformers(tmp_path / "finetune", next(read_texts(tmp_path / "prepare")))


def check_in_transformers(folder: Path, text: str) -> None:
    """The folder opens there unmodified, with the same token ids and logits."""
    theirs = AutoTokenizer.from_pretrained(folder)
    ours = load_model(folder)
    ids = Tokenizer.load(folder).encode(text[:200])
    assert theirs.encode(text[:200], add_special_tokens=False) == ids
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens = torch.tensor([ids[: ours.config.max_position_embeddings]])
    with torch.no_grad():
        expected, logits = model(tokens).logits, ours(tokens)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
