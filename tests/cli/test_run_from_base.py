"""A recipe that goes on from a model that another tool made, or learns from one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command
from public_models import GPT2, LLAMA, PUBLIC, QWEN3, write_public_model
from tiny_workspace import SETTINGS, modelwright, prose, write_recipe, write_sources

from modelwright.core.artifact import MANIFEST, UNKNOWN_LICENCE
from modelwright.core.workspace import Workspace
from modelwright.inference.engine import Engine
from modelwright.inference.sampling import SamplingParams
from modelwright.models.pretrained import load_model, load_weights
from modelwright.pipeline.given import open_given
from modelwright.pipeline.recipe import load_recipe
from modelwright.training.loop import Loop

transformers = pytest.importorskip("transformers")

TEXTS = [prose(seed) for seed in range(20, 24)]
PRETRAIN = {"validation_windows": 2, "validation_count": 1, "batch_rows": 2}


def workspace_from(folder: Path, has_examples: bool = True, **changes: Any) -> Workspace:
    """A workspace beside a folder ``base``, which its recipe names."""
    text, examples = write_sources(folder)
    parts = {name: SETTINGS[name] for name in ("name", "budget", "evaluate")}
    sources = {"collect": {"sources": [str(text)]}}
    if has_examples:
        sources["examples"] = {"sources": [str(examples)]}
    recipe = {**parts, "base": "../base", "pretrain": PRETRAIN, **sources, **changes}
    return write_recipe(folder / "workspace", recipe)


def plan(command: Command, workspace: Workspace, *flags: str) -> dict[str, list[str]]:
    """State and reason by stage."""
    result = command("run", "--dry-run", *flags, cwd=workspace.root)
    assert result.exit_code == 0, result.errors
    lines = [line.split(None, 2) for line in result.output.splitlines()]
    return {line[0]: line[1:] for line in lines}


@pytest.mark.parametrize("name", PUBLIC)
def test_the_whole_way_from_a_public_model(command: Command, tmp_path: Path, name: str) -> None:
    base = write_public_model(name, tmp_path / "base", TEXTS)
    workspace = workspace_from(tmp_path)
    result = command("run", cwd=workspace.root)
    assert result.exit_code == 0, result.errors
    made = {one.manifest.stage: one for one in workspace.artifacts()}
    assert "tokenizer" not in made

    model = made["pretrain"]
    parents = {parent.role: parent for parent in model.manifest.parents}
    assert parents.keys() == {"base", "tokenizer", "shards", "dial"}
    config = json.loads((base / "config.json").read_text())
    assert model.manifest.settings["family"] == config["model_type"]
    before, after = (
        torch.cat([tensor.flatten() for tensor in load_model(folder).state_dict().values()])
        for folder in (base, model.path)
    )
    change = (after - before).norm() / before.norm()
    assert 0 < change < 0.2  # some small steps away, not somewhere else

    answers = made["finetune"].path
    theirs = transformers.AutoModelForCausalLM.from_pretrained(answers, dtype=torch.float32)
    words = transformers.AutoTokenizer.from_pretrained(answers)
    engine = Engine.load(answers, device="cpu")
    ids = engine.tokenizer.encode("the lamp is out: 12 345  of 6\n")
    assert words("the lamp is out: 12 345  of 6\n", add_special_tokens=False).input_ids == ids
    with torch.no_grad():
        logits = theirs(torch.tensor([ids])).logits
        assert torch.allclose(engine.model(torch.tensor([ids])), logits, atol=1e-4)
    messages = [{"role": "user", "content": "What is the number 3?"}]
    prompt = engine.tokenizer.encode_chat(messages, add_generation_prompt=True)
    assert words.apply_chat_template(messages, add_generation_prompt=True).input_ids == prompt
    (answer,) = engine.generate([prompt], SamplingParams(max_tokens=4))
    assert answer.tokens

    again = command("run", cwd=workspace.root)
    assert "nothing to do" in again.output
    traced = command("trace", "finetune", cwd=workspace.root)
    assert f"model {parents['base'].id}: origin unknown" in traced.output
    assert parents["base"].id.startswith("base@")


def test_what_is_stale_goes_by_the_content_of_the_base(command: Command, tmp_path: Path) -> None:
    base = write_public_model(QWEN3, tmp_path / "base", TEXTS)
    workspace = workspace_from(tmp_path, has_examples=False)
    assert command("run", cwd=workspace.root).exit_code == 0

    moved = base.rename(tmp_path / "elsewhere")
    assert {state for state, _ in plan(command, workspace, "--base", str(moved)).values()} == {
        "fresh"
    }
    shutil.rmtree(moved)
    write_public_model(QWEN3, base, TEXTS, seed=1)
    stages = plan(command, workspace)
    assert [name for name, (state, _) in stages.items() if state == "fresh"] == [
        *("collect", "annotate", "prepare", "shards")
    ]
    assert stages["dial"][1] == "another base"

    shutil.rmtree(base)
    write_public_model(QWEN3, base, TEXTS[:1])
    stages = plan(command, workspace)
    assert stages["shards"] == ["stale", "another tokenizer"]
    assert command("run", cwd=workspace.root).exit_code == 0
    assert "stale" not in {state for state, _ in plan(command, workspace).values()}


def test_a_run_that_is_cut_off_goes_on_bit_identically(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**PRETRAIN, "checkpoint_seconds": 0}
    digests = []
    for name in ("whole", "cut"):
        write_public_model(LLAMA, tmp_path / name / "base", TEXTS)
        changes = {"budget": "6 steps", "pretrain": settings}
        workspace = workspace_from(tmp_path / name, False, **changes)
        if name == "cut":
            step = Loop.step

            def cut(loop: Loop, started: float, step: Any = step) -> float:
                if loop.state.step == 3:
                    raise KeyboardInterrupt
                return float(step(loop, started))

            with monkeypatch.context() as patch:
                patch.setattr(Loop, "step", cut)
                assert command("run", "--until", "pretrain", cwd=workspace.root).exit_code == 1
        result = command("run", "--until", "pretrain", cwd=workspace.root)
        assert result.exit_code == 0, result.errors
        digests.append(workspace.artifact("pretrain").manifest.digest)
    assert "going on from step 3" in result.output + result.errors
    assert digests[0] == digests[1]


def test_a_teacher_gives_the_tokenizer_and_the_dial_the_shape(
    command: Command, tmp_path: Path
) -> None:
    teacher = write_public_model(GPT2, tmp_path / "base", TEXTS)
    sizes = {**PRETRAIN, "hidden_size": 64, "layers": 1}
    workspace = workspace_from(tmp_path, base=None, teacher="../base", pretrain=sizes)
    result = command("run", cwd=workspace.root)
    assert result.exit_code == 0, result.errors
    model = workspace.artifact("pretrain")
    assert {parent.role for parent in model.manifest.parents} == {
        *("teacher", "tokenizer", "shards", "dial")
    }
    vocabulary = load_weights(teacher)["transformer.wte.weight"].shape[0]
    assert load_model(model.path).config.vocab_size == vocabulary
    rows = (model.path / "log" / "training.jsonl").read_text().splitlines()
    assert any("divergence" in json.loads(row) for row in rows)


def test_the_dial_times_the_base(command: Command, tmp_path: Path) -> None:
    write_public_model(QWEN3, tmp_path / "base", TEXTS)
    workspace = workspace_from(tmp_path, budget="3 minutes")
    result = command("run", "--until", "dial", cwd=workspace.root)
    assert result.exit_code == 0, result.errors
    dial = json.loads((workspace.artifact("dial").path / "dial.json").read_text())
    pretrain = dial["choice"]["pretrain"]
    assert pretrain["sequence_length"] == 128  # all that the base can hold
    assert pretrain["budget"].endswith("seconds")
    assert "hidden_size" not in pretrain
    assert "tokenizer" not in dial["choice"]
    assert dial["expected"]["tokens_per_second"] > 0


@pytest.mark.parametrize(
    ("changes", "exit_code", "said"),
    [
        ({"tokenizer": {"vocabulary_size": 400}}, 2, "tokenizer is that of the base"),
        ({"pretrain": {**PRETRAIN, "layers": 3}}, 2, "'layers' is that of the base"),
        ({"base": "../nowhere"}, 1, "not a folder"),
        ({"base": ""}, 2, "'base'"),
    ],
)
def test_what_cannot_be_meant(
    command: Command, tmp_path: Path, changes: dict[str, Any], exit_code: int, said: str
) -> None:
    write_public_model(QWEN3, tmp_path / "base", TEXTS)
    workspace = workspace_from(tmp_path, **changes)
    result = command("run", cwd=workspace.root)
    assert (result.exit_code, said in result.errors) == (exit_code, True), result.errors


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_half_a_model_is_refused_before_the_text_is_read(
    command: Command, tmp_path: Path, name: str
) -> None:
    (write_public_model(QWEN3, tmp_path / "base", TEXTS) / name).unlink()
    workspace = workspace_from(tmp_path)
    result = command("run", cwd=workspace.root)
    assert (result.exit_code, f"no file '{name}'" in result.errors) == (1, True)
    assert workspace.artifacts() == []


def test_a_tokenizer_that_ends_no_text_is_refused_by_the_dial(
    command: Command, tmp_path: Path
) -> None:
    base = write_public_model(LLAMA, tmp_path / "base", TEXTS)
    for name in ("config.json", "tokenizer_config.json"):
        content = json.loads((base / name).read_text())
        for token in ("eos_token", "eos_token_id"):
            content.pop(token, None)
        (base / name).write_text(json.dumps(content))
    result = command("run", cwd=workspace_from(tmp_path).root)
    assert result.exit_code == 1
    assert "eos_token" in result.errors
    assert "tokenizer_config.json" in result.errors


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\nlanguage: en\n---\n# A model\n", "Apache-2.0"),
        ("---\nlicense: other\nlicense_name: llama3.2\n---\n", "LicenseRef-llama3.2"),
        ("# A model\nlicense: mit\n", UNKNOWN_LICENCE),
        ("---\nlicense: [\n---\n", UNKNOWN_LICENCE),
        ("---\nlicense: 3\n---\n", UNKNOWN_LICENCE),
    ],
)
def test_the_licence_is_what_the_model_card_says(
    command: Command, tmp_path: Path, card: str, licence: str
) -> None:
    base = write_public_model(QWEN3, tmp_path / "base", TEXTS)
    (base / "README.md").write_text(card)
    workspace = workspace_from(tmp_path, has_examples=False)
    assert command("run", "--until", "dial", cwd=workspace.root).exit_code == 0
    assert licence in workspace.artifact("dial").manifest.licences


def test_a_card_does_not_change_the_licence_of_a_model_of_ours(tmp_path: Path) -> None:
    folder = write_public_model(QWEN3, tmp_path / "model", TEXTS)
    manifest = open_given(folder, "model").manifest.model_copy(update={"licences": ["CC-BY-4.0"]})
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    assert open_given(folder, "model").manifest.licences == ["CC-BY-4.0"]


def test_a_model_of_ours_stands_for_its_tokenizer(command: Command, tmp_path: Path) -> None:
    """As the guide on training has it, with the single commands."""
    write_public_model(QWEN3, tmp_path / "base", TEXTS)
    workspace = workspace_from(tmp_path, has_examples=False)
    assert command("run", "--until", "pretrain", cwd=workspace.root).exit_code == 0
    shards, model = (workspace.artifact(name).path for name in ("shards", "pretrain"))
    result = command(
        "pretrain", "--shards", str(shards), "--tokenizer", str(model), "--base", str(model),
        "--out", "more", "--sequence-length", "64", "--batch-rows", "2", "--budget", "1 step",
        "--learning-rate", "0.001", "--matrix-learning-rate", "0.001",
    )  # fmt: skip
    assert result.exit_code == 0, result.errors


def test_init_names_the_base(command: Command, tmp_path: Path) -> None:
    write_public_model(QWEN3, tmp_path / "base", TEXTS)
    text, _ = write_sources(tmp_path)
    result = command("init", "mine", "--source", str(text), "--base", "base")
    assert result.exit_code == 0, result.errors
    recipe = load_recipe(tmp_path / "mine" / "modelwright.yaml")
    assert recipe.base == str(tmp_path / "base")
    assert command("init", "x", "--source", str(text), "--base", "nowhere").exit_code == 2


def test_two_processes_go_on_from_a_base(tmp_path: Path) -> None:
    write_public_model(GPT2, tmp_path / "base", TEXTS)
    workspace = workspace_from(tmp_path, has_examples=False)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    import subprocess
    import sys

    from tiny_workspace import ENVIRONMENT

    done = subprocess.run(
        [sys.executable, *launcher, "-m", "modelwright", "run", "--until", "pretrain"],
        cwd=workspace.root, env=ENVIRONMENT, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert workspace.artifact("pretrain").manifest.settings["family"] == "gpt2"
    assert modelwright("show", "pretrain", cwd=workspace.root).returncode == 0
