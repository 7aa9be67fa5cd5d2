"""Pretraining from another model's weights, and from a teacher, through the command line."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from conftest import Command

from modelwright.core.workspace import Workspace
from modelwright.models.pretrained import load_model

TRAINING = (
    "--sequence-length", "64", "--batch-rows", "2", "--budget", "2 steps",
    "--learning-rate", "0.001", "--matrix-learning-rate", "0.001",
)  # fmt: skip


@pytest.fixture
def folders(finished: Workspace) -> dict[str, Path]:
    return {artifact.manifest.stage: artifact.path for artifact in finished.artifacts()}


def arguments(folders: dict[str, Path], out: Path) -> list[str]:
    given = ["pretrain", "--out", str(out), "--shards", str(folders["shards"])]
    return [*given, "--tokenizer", str(folders["tokenizer"]), *TRAINING]


def test_training_goes_on_from_a_base(
    command: Command, folders: dict[str, Path], tmp_path: Path
) -> None:
    base = folders["pretrain"]
    result = command(*arguments(folders, tmp_path / "model"), "--base", str(base))
    assert result.exit_code == 0, result.errors
    before, after = load_model(base).state_dict(), load_model(tmp_path / "model").state_dict()
    assert before.keys() == after.keys()
    changes = [(after[name] - before[name]).norm() / before[name].norm() for name in before]
    assert 0 < max(changes) < 0.5  # two small steps away, not somewhere else
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert {parent["role"] for parent in manifest["parents"]} == {"shards", "tokenizer", "base"}


def test_a_base_has_its_shape(command: Command, folders: dict[str, Path], tmp_path: Path) -> None:
    given = arguments(folders, tmp_path / "model")
    result = command(*given, "--base", str(folders["pretrain"]), "--hidden-size", "128")
    assert result.exit_code == 2
    assert "hidden_size" in result.errors


def test_a_teacher_is_learnt_from(
    command: Command, folders: dict[str, Path], tmp_path: Path
) -> None:
    shape = ("--hidden-size", "64", "--layers", "1")
    taught, alone = tmp_path / "taught", tmp_path / "alone"
    result = command(
        *arguments(folders, taught), *shape, "--teacher", str(folders["pretrain"]),
        "--temperature", "2", "--teacher-share", "0.8",
    )  # fmt: skip
    assert result.exit_code == 0, result.errors
    assert command(*arguments(folders, alone), *shape).exit_code == 0
    ours, theirs = load_model(taught).state_dict(), load_model(alone).state_dict()
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)
    rows = (taught / "log" / "training.jsonl").read_text().splitlines()
    assert any("divergence" in json.loads(row) for row in rows)


def test_another_vocabulary_is_refused(
    command: Command, folders: dict[str, Path], tmp_path: Path, tokenizer_folder: Path
) -> None:
    stranger = tmp_path / "stranger"
    shutil.copytree(folders["pretrain"], stranger)
    for path in tokenizer_folder.iterdir():
        shutil.copyfile(path, stranger / path.name)
    (stranger / "manifest.json").unlink()
    result = command(*arguments(folders, tmp_path / "model"), "--base", str(stranger))
    assert result.exit_code == 1
    assert "another tokenizer" in result.errors


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_other_families_open_in_transformers(
    command: Command, folders: dict[str, Path], tmp_path: Path, family: str
) -> None:
    transformers = pytest.importorskip("transformers")
    out = tmp_path / "model"
    shape = ("--family", family, "--hidden-size", "64", "--layers", "1")
    result = command(
        *arguments(folders, out), *shape, "--mask-documents", "--recompute-activations"
    )
    assert result.exit_code == 0, result.errors
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    assert theirs.config.model_type == family
    tokens = torch.arange(40)[None]
    with torch.no_grad():
        logits, expected = load_model(out)(tokens), theirs(tokens).logits
    assert torch.allclose(logits, expected, atol=1e-4)


def test_a_tracker_gets_the_log(command: Command, folders: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "model"
    given = ("--hidden-size", "64", "--layers", "1", "--tracker", "tensorboard")
    result = command(*arguments(folders, out), *given)
    assert result.exit_code == 0, result.errors
    events = EventAccumulator(str(out / "log" / "tensorboard"))
    events.Reload()
    rows = [json.loads(row) for row in (out / "log" / "training.jsonl").read_text().splitlines()]
    for name in ("loss", "validation_bits_per_byte"):
        wanted = [(row["step"], pytest.approx(row[name])) for row in rows if name in row]
        assert [(event.step, event.value) for event in events.Scalars(name)] == wanted


def test_a_tracker_that_is_not_installed_is_named(
    command: Command,
    folders: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    given = ("--hidden-size", "64", "--layers", "1", "--tracker", "wandb")
    result = command(*arguments(folders, tmp_path / "model"), *given)
    assert result.exit_code == 1
    assert "modelwright[wandb]" in result.errors
    assert command(*arguments(folders, tmp_path / "x"), "--tracker", "wand").exit_code == 2


def test_schedule_and_average(command: Command, folders: dict[str, Path], tmp_path: Path) -> None:
    shape = ("--hidden-size", "64", "--layers", "1", "--budget", "6 steps")
    plain, averaged = tmp_path / "plain", tmp_path / "averaged"
    cosine = (*shape, "--schedule", "cosine", "--rate-floor", "0.1")
    assert command(*arguments(folders, plain), *cosine).exit_code == 0
    average = ("--averaging", "exponential", "--averaging-part", "0.3")
    result = command(*arguments(folders, averaged), *cosine, *average)
    assert result.exit_code == 0, result.errors
    ours, theirs = load_model(averaged).state_dict(), load_model(plain).state_dict()
    changes = [(ours[name] - theirs[name]).norm() / theirs[name].norm() for name in ours]
    assert 0 < max(changes) < 0.5
    rows = [json.loads(row) for row in (plain / "log" / "training.jsonl").read_text().splitlines()]
    rates = [row["learning_rate"] for row in rows if "learning_rate" in row]
    # The middle of the last of 6 steps: nearly at the floor of a tenth.
    assert rates[-1] == pytest.approx(0.1 * 0.001, rel=0.3)
    refused = command(*arguments(folders, tmp_path / "x"), *shape, "--warmup", "0.5")
    assert refused.exit_code == 2
    assert "longer than the run" in refused.errors
