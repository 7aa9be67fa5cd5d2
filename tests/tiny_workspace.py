"""A workspace that is brought up to date in seconds, for tests of the whole way."""

from __future__ import annotations

import functools
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from modelwright.cli.run import bring_up_to_date
from modelwright.core.files import write_text
from modelwright.core.progress import SilentProgress
from modelwright.core.workspace import Workspace
from modelwright.pipeline.recipe import Recipe, load_recipe
from modelwright.pipeline.stages import stages_of

# Several threads on a busy machine wait for each other; tiny models gain nothing from them.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

SETTINGS: dict[str, Any] = {
    "name": "tiny",
    "budget": "3 steps",
    "tokenizer": {"vocabulary_size": 320},
    "pretrain": {
        "hidden_size": 64,
        "layers": 1,
        "sequence_length": 64,
        "batch_rows": 2,
        "validation_windows": 2,
        "validation_count": 1,
    },
    "finetune": {
        "budget": "2 steps",
        "learning_rate": 0.001,
        "matrix_learning_rate": 0.001,
        "batch_rows": 2,
    },
    "evaluate": {"max_text_bytes": 512, "max_questions": 2, "max_answer_tokens": 4},
}

MADE = stages_of(
    Recipe.model_validate({"collect": {"sources": ["."]}, "examples": {"sources": ["."]}})
)
"""What a run of such a recipe makes."""

WORDS = "a model reads text and learns to write more of it word by word until the lamp is out"


def write_sources(folder: Path) -> tuple[Path, Path]:
    """Two text files, one with rows, and a file of examples: ``(text folder, examples)``."""
    text, examples = folder / "text", folder / "examples.jsonl"
    text.mkdir(parents=True)
    write_text(text / "first.txt", prose(1))
    write_text(text / "second.md", f"# The second\n\n{prose(2)}")
    rows = [{"text": prose(seed), "id": f"row-{seed}", "licence": "MIT"} for seed in range(3, 9)]
    write_text(text / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    conversations: list[dict[str, Any]] = [
        {
            "messages": [
                {"role": "user", "content": f"What is the number {number}?"},
                {"role": "assistant", "content": f"It comes after {number - 1}."},
            ],
            "licence": "CC0-1.0",
        }
        for number in range(8)
    ]
    conversations.append({"prompt": "the lamp", "completion": " is out", "licence": "CC0-1.0"})
    write_text(examples, "".join(json.dumps(row) + "\n" for row in conversations))
    return text, examples


def prose(seed: int) -> str:
    """Some hundred words, the same for the same seed."""
    chosen = random.Random(seed).choices(WORDS.split(), k=300)
    lines = [" ".join(chosen[start : start + 12]) for start in range(0, len(chosen), 12)]
    return "\n".join(lines) + "\n"


def write_recipe(root: Path, settings: dict[str, Any]) -> Workspace:
    """Write settings as the recipe of a workspace."""
    root.mkdir(parents=True, exist_ok=True)
    workspace = Workspace(root)
    write_text(workspace.recipe, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    return workspace


def make_workspace(root: Path, text: Path, examples: Path | None) -> Workspace:
    """Write the tiny recipe for these sources."""
    sources = {"collect": {"sources": [str(text)]}}
    if examples is not None:
        sources["examples"] = {"sources": [str(examples)]}
    return write_recipe(root, {**SETTINGS, **sources})


def modelwright(
    *arguments: str, cwd: Path, stdin: str = "", prefix: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; a traceback is never right."""
    result = subprocess.run(
        [*prefix, sys.executable, "-m", "modelwright", *arguments],
        cwd=cwd,
        input=stdin,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert "Traceback" not in result.stderr, result.stderr
    return result


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@functools.cache
def finished_workspace(base: Path) -> Workspace:
    """A workspace that was run in this process, made once for each ``base``; only to be read."""
    folder = base / "finished"
    text, examples = write_sources(folder)
    workspace = make_workspace(folder / "workspace", text, examples)
    with workspace.lock():
        bring_up_to_date(load_recipe(workspace.recipe), workspace, SilentProgress())
    return workspace
