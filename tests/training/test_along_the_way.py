"""What a run leaves besides a model: samples, early stops; and that compiling changes nothing."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_workspace import ENVIRONMENT, contents, finished_workspace, modelwright

from modelwright.core.artifact import open_artifact, read_manifest
from modelwright.core.job import Job
from modelwright.core.progress import SilentProgress
from modelwright.models import device
from modelwright.models.pretrained import load_model
from modelwright.training.pretrain import pretrain as pretrain_stage
from modelwright.training.settings import PretrainSettings

REQUIRED = ("shards", "tokenizer")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    artifacts = finished_workspace(tmp_path_factory.getbasetemp()).artifacts_folder
    (shards,), (tokenizer,) = artifacts.glob("shards-*"), artifacts.glob("tokenizer-*")
    sizes = ["--hidden-size", "64", "--layers", "1", "--sequence-length", "32", "--batch-rows", "4"]
    rates = ["--learning-rate", "0.01", "--matrix-learning-rate", "0.02"]
    return ["pretrain", "--shards", str(shards), "--tokenizer", str(tokenizer), *sizes, *rates]


def pretrain(inputs: list[str], out: Path, *flags: str) -> Any:
    done = modelwright(*inputs, "--out", str(out), *flags, cwd=out.parent)
    assert done.returncode == 0, done.stderr
    return read_manifest(out)


def test_samples_lie_beside_the_log(inputs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "model"
    prompts = ["--sample-prompt", "the lamp", "--sample-prompt", ""]
    pretrain(inputs, out, "--budget", "6 steps", "--validation-count", "2", *prompts)
    rows = [json.loads(line) for line in (out / "log" / "samples.jsonl").read_text().splitlines()]
    assert [(row["step"], row["prompt"]) for row in rows] == [
        (3, "the lamp"),
        (3, ""),
        (6, "the lamp"),
        (6, ""),
    ]
    assert all(isinstance(row["text"], str) for row in rows)
    assert rows[0]["text"]
    assert read_manifest(out).settings["precision"] in ("float32", "bfloat16")  # what was used


def test_a_prompt_that_is_too_long_is_refused(inputs: list[str], tmp_path: Path) -> None:
    flags = ["--budget", "2 steps", "--sample-prompt", "a lamp " * 100]
    done = modelwright(*inputs, "--out", str(tmp_path / "model"), *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert "give a shorter one" in done.stderr


def test_samples_change_nothing(inputs: list[str], tmp_path: Path) -> None:
    flags = ["--budget", "6 steps", "--validation-count", "3"]
    pretrain(inputs, tmp_path / "with", *flags)
    pretrain(inputs, tmp_path / "without", *flags, "--validation-count", "0")
    one, two = (contents(tmp_path / name)["model.safetensors"] for name in ("with", "without"))
    assert one == two


def test_a_run_that_gets_worse_is_stopped(inputs: list[str], tmp_path: Path) -> None:
    """Far too high a rate on far too little text."""
    out = tmp_path / "model"
    flags = ["--budget", "600 steps", "--validation-count", "60", "--early-stopping", "3"]
    manifest = pretrain(inputs, out, *flags, "--schedule", "constant")
    assert 30 < manifest.counts["steps"] < 600
    rows = [json.loads(line) for line in (out / "log" / "training.jsonl").read_text().splitlines()]
    losses = [row["validation_loss"] for row in rows if "validation_loss" in row]
    assert manifest.metrics["validation_loss"] == min(losses)
    assert losses.index(min(losses)) == len(losses) - 5  # three worse ones, and the last one again


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling on a CPU needs g++")
def test_a_compiled_model_learns_the_same(inputs: list[str], tmp_path: Path) -> None:
    flags = ["--budget", "3 steps", "--validation-count", "1", "--precision", "float32"]
    eager = pretrain(inputs, tmp_path / "eager", *flags)
    compiled = pretrain(inputs, tmp_path / "compiled", *flags, "--compile")
    used = [(one.settings["compile"], one.settings["precision"]) for one in (eager, compiled)]
    assert used == [(False, "float32"), (True, "float32")]
    loss = eager.metrics["validation_loss"]
    assert compiled.metrics["validation_loss"] == pytest.approx(loss, rel=1e-5)
    wanted = load_file(tmp_path / "eager" / "model.safetensors")
    found = load_file(tmp_path / "compiled" / "model.safetensors")
    assert wanted.keys() == found.keys()
    for name, tensor in wanted.items():
        assert (found[name] - tensor).norm() <= 1e-3 * tensor.norm() + 1e-6, name


def test_compiling_without_a_compiler_is_refused(
    inputs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "CXX", "no-such-compiler")
    flags = ["--budget", "2 steps", "--compile"]
    done = modelwright(*inputs, "--out", str(tmp_path / "model"), *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert "no-such-compiler" in done.stderr


def test_float8_without_such_a_gpu_is_refused(inputs: list[str], tmp_path: Path) -> None:
    flags = ["--budget", "2 steps", "--precision", "float8", "--device", "cpu"]
    done = modelwright(*inputs, "--out", str(tmp_path / "model"), *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert "use --precision auto" in done.stderr


def test_float8_goes_through_the_stage(
    inputs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU that has it: checkpoints, measurements, samples; all are as without it."""
    monkeypatch.setattr(device, "_multiplies_float8", lambda of: True)
    folders = dict(zip(inputs[1::2], inputs[2::2], strict=True))
    settings = PretrainSettings(
        hidden_size=64,
        layers=1,
        sequence_length=32,
        batch_rows=4,
        learning_rate=0.01,
        matrix_learning_rate=0.02,
        budget="6 steps",
        validation_count=2,
        checkpoint_seconds=0.0,
        precision="float8",
        device="cpu",
    )
    given = {role: open_artifact(Path(folders[f"--{role}"]), role) for role in REQUIRED}
    outcome = pretrain_stage(Job(settings, given, tmp_path, SilentProgress()))
    assert outcome.settings["precision"] == "float8"
    assert outcome.metrics["validation_loss"] > 0
    saved = load_file(next(tmp_path.glob("scratch/checkpoints/*/model.safetensors")))
    assert all(tensor.dtype == torch.float32 for tensor in saved.values())
    load_model(tmp_path)
