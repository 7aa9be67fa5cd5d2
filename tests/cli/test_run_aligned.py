"""A workspace whose recipe aligns the model: by feedback, and by a reward function of the user."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from modelwright.core.files import write_text
from modelwright.core.workspace import Workspace
from modelwright.pipeline.current import find_model
from modelwright.serving.opening import is_chat_model

Command = Callable[..., Any]

ALIGN = {
    "budget": "2 steps", "batch_rows": 2, "learning_rate": 0.001, "device": "cpu",
    "precision": "float32",
}  # fmt: skip
FEEDBACK = {"sources": [{"kind": "feedback", "take": "pairs"}]}


def change(workspace: Workspace, **parts: Any) -> None:
    recipe = yaml.safe_load(workspace.recipe.read_text(encoding="utf-8"))
    write_text(workspace.recipe, yaml.safe_dump({**recipe, **parts}, sort_keys=False))


def write_pairs(path: Path, numbers: range) -> str:
    rows = [
        {"prompt": f"What is {number}?", "chosen": f"It is {number}.", "rejected": "A lamp."}
        for number in numbers
    ]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def plan(command: Command, folder: Path, *flags: str) -> dict[str, list[str]]:
    """State and reason by stage."""
    result = command("run", "--dry-run", *flags, cwd=folder)
    assert result.exit_code == 0, result.errors
    lines = [line.split(None, 2) for line in result.output.splitlines()]
    return {line[0]: line[1:] for line in lines}


def stale(command: Command, folder: Path, *flags: str) -> list[str]:
    return [
        stage for stage, (state, _) in plan(command, folder, *flags).items() if state == "stale"
    ]


def test_new_feedback_makes_the_model_align_anew(
    command: Command, copied: Workspace, tmp_path: Path
) -> None:
    root = copied.root
    change(copied, preferences=FEEDBACK, align=ALIGN)
    refused = command("run", cwd=root)
    assert "no feedback that can be taken as pairs" in refused.errors
    command("feedback", "import", write_pairs(tmp_path / "a.jsonl", range(8)), cwd=root)
    result = command("run", cwd=root)
    assert result.exit_code == 0, result.errors
    assert "aligning comes on top of the budget of 3 steps: it goes on for 2 steps" in result.output
    assert "after fine-tuning and alignment" in result.output
    assert stale(command, root) == []
    assert "aligning" not in command("run", cwd=root).output

    made = {one.manifest.stage: one for one in copied.artifacts()}
    aligned = made["align"]
    assert made["preferences"].manifest.counts["preferences"] == 8
    parents = {parent.role: parent.id for parent in made["evaluate"].manifest.parents}
    assert (parents["model"], parents["base"]) == (aligned.id, made["pretrain"].id)
    assert find_model(root, None).folder == aligned.path
    assert aligned.id in command("runs", cwd=root).output
    assert find_model(root, None).note == ""
    assert is_chat_model(aligned.path)
    assert str(aligned.path) in result.output
    learnt = made["preferences"].manifest.counts["examples_train"]
    assert f"feedback: {learnt} examples" in command("trace", "align", cwd=root).output
    assert f"→ {aligned.id}: learnt it" in command("trace", "feedback", cwd=root).output
    assert json.loads(command("show", "align", cwd=root).output)["id"] == aligned.id
    assert 'id="alignment"' in (root / "report.html").read_text(encoding="utf-8")

    command("feedback", "import", write_pairs(tmp_path / "b.jsonl", range(8, 10)), cwd=root)
    assert stale(command, root) == ["preferences", "align", "evaluate"]
    assert plan(command, root)["preferences"][1] == "the sources have changed"
    assert "'align' is not up to date" in find_model(root, None).note
    assert command("run", cwd=root).exit_code == 0
    assert stale(command, root) == []
    newest = {one.manifest.stage: one for one in copied.artifacts()}["align"]
    assert find_model(root, None).folder == newest.path != aligned.path


def test_a_reward_function_lies_beside_the_recipe_and_its_change_is_seen(
    command: Command, copied: Workspace
) -> None:
    root = copied.root
    function = "def score(samples):\n    return [len(one.completion) for one in samples]\n"
    write_text(root / "rewards.py", function)
    prompts = [{"prompt": f"the lamp {number}"} for number in range(6)]
    write_text(root / "prompts.jsonl", "".join(json.dumps(row) + "\n" for row in prompts))
    change(
        copied,
        preferences={"sources": ["prompts.jsonl"]},
        align={
            **ALIGN, "method": "grpo", "prompts": 2, "group": 2, "answer_tokens": 4,
            "rewards": [{"kind": "python", "function": "rewards.py:score"}],
        },
    )  # fmt: skip
    elsewhere = root / "artifacts"  # a folder from where 'rewards.py' alone is not found
    result = command("run", "--until", "align", cwd=elsewhere)
    assert result.exit_code == 0, result.errors
    assert stale(command, elsewhere, "--until", "align") == []
    write_text(root / "rewards.py", function.replace("len(", "-len("))
    assert stale(command, elsewhere, "--until", "align") == ["align"]
    write_text(root / "rewards.py", function)
    assert stale(command, elsewhere, "--until", "align") == []
    (root / "rewards.py").unlink()
    result = command("run", "--dry-run", cwd=elsewhere)
    assert str(root / "rewards.py") in result.errors
