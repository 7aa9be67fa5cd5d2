"""The first weights of a pretraining, through the command line."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest
import torch
from conftest import Command

from modelwright.core.workspace import Workspace
from modelwright.models.pretrained import load_config, load_model
from modelwright.training import pretrain as stage
from modelwright.training.loop import Loop

TRAINING = (
    "--sequence-length", "64", "--batch-rows", "2", "--budget", "4 steps", "--hidden-size", "64",
    "--layers", "1", "--learning-rate", "0.001", "--matrix-learning-rate", "0.001",
    "--checkpoint-seconds", "0",
)  # fmt: skip


@pytest.fixture
def arguments(finished: Workspace) -> list[str]:
    folders = {artifact.manifest.stage: artifact.path for artifact in finished.artifacts()}
    given = ["--shards", str(folders["shards"]), "--tokenizer", str(folders["tokenizer"])]
    return ["pretrain", *given, *TRAINING]


def loss(out: Path) -> float:
    """On held-out text, after steps that are too few and too small to teach anything."""
    manifest = json.loads((out / "manifest.json").read_text())
    return float(manifest["metrics"]["validation_loss"])


def test_a_start_from_bigrams_begins_below_a_random_one(
    command: Command, arguments: list[str], tmp_path: Path
) -> None:
    for start in ("random", "bigrams"):
        result = command(*arguments, "--start", start, "--out", str(tmp_path / start))
        assert result.exit_code == 0, result.errors
        assert ("first weights from" in result.errors) == (start == "bigrams")
    vocabulary = load_config(tmp_path / "random").vocab_size
    assert loss(tmp_path / "random") == pytest.approx(math.log(vocabulary), rel=0.1)
    assert loss(tmp_path / "bigrams") < 0.9 * loss(tmp_path / "random")
    assert load_config(tmp_path / "random").tie_word_embeddings
    assert not load_config(tmp_path / "bigrams").tie_word_embeddings
    manifest = json.loads((tmp_path / "bigrams" / "manifest.json").read_text())
    assert manifest["settings"]["start"] == "bigrams"
    assert manifest["settings"]["tie_embeddings"] is False


def test_a_run_that_was_cut_off_does_not_start_anew(
    command: Command, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits, fit_tables, step = list[str](), stage.fit_tables, Loop.step
    look_back = stage.look_back

    def counted(*given: object) -> None:
        fits.append("tables")
        fit_tables(*given)  # type: ignore[arg-type]

    def looked(*given: object) -> None:
        fits.append("heads")
        look_back(*given)  # type: ignore[arg-type]

    def cut_off(self: Loop, started: float) -> float:
        if self.state.step == 2:
            raise KeyboardInterrupt
        return step(self, started)

    monkeypatch.setattr(stage, "fit_tables", counted)
    monkeypatch.setattr(stage, "look_back", looked)
    given = [*arguments, "--start", "bigrams", "--out"]
    assert command(*given, str(tmp_path / "whole")).exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", cut_off)
        assert command(*given, str(tmp_path / "cut")).exit_code != 0
    assert fits == ["tables", "heads"] * 2
    result = command(*given, str(tmp_path / "cut"))
    assert result.exit_code == 0, result.errors
    assert "going on from step 2" in result.errors
    assert fits == ["tables", "heads"] * 2
    whole, cut = (load_model(tmp_path / name).state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_where_the_head_is_the_embedding_the_start_is_random(
    command: Command, arguments: list[str], tmp_path: Path
) -> None:
    for extra in (["--tie-embeddings"], ["--family", "gpt2"]):
        out = tmp_path / extra[-1]
        result = command(*arguments, "--start", "bigrams", *extra, "--out", str(out))
        assert result.exit_code == 0, result.errors
        assert "random first weights" in result.errors
        assert load_config(out).tie_word_embeddings
        assert json.loads((out / "manifest.json").read_text())["settings"]["start"] == "random"


def test_a_base_has_first_weights(
    command: Command, arguments: list[str], tmp_path: Path, finished: Workspace
) -> None:
    (base,) = (one.path for one in finished.artifacts() if one.manifest.stage == "pretrain")
    given = [*arguments[:9], "--start", "bigrams", "--out", str(tmp_path / "more")]
    result = command(*given, "--base", str(base))
    assert result.exit_code == 2
    assert "a base model has its weights" in result.errors


def test_the_start_counts_as_training_time(
    command: Command, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "fit_tables", lambda *_: time.sleep(2))
    given = [*arguments, "--budget", "1 seconds", "--out", str(tmp_path / "model")]
    assert command(*given, "--start", "bigrams").exit_code == 0
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert manifest["metrics"]["training_seconds"] >= 2
    assert manifest["counts"]["steps"] == 1


def test_tokens_are_compared_with_what_the_dial_expected(
    command: Command, arguments: list[str], tmp_path: Path
) -> None:
    choice = {"hidden_size": 64, "layers": 1, "sequence_length": 64, "batch_rows": 2}
    choice |= {"learning_rate": 0.001, "matrix_learning_rate": 0.001, "budget": "0.5 seconds"}
    dial = tmp_path / "dial"
    dial.mkdir()
    content = {"choice": {"pretrain": choice}, "expected": {"tokens": 10**9}}
    (dial / "dial.json").write_text(json.dumps(content))
    given = [*arguments[:5], "--dial", str(dial), "--out"]
    result = command(*given, str(tmp_path / "model"))
    assert result.exit_code == 0, result.errors
    assert "100% fewer than the dial expected" in result.errors
    result = command(*given, str(tmp_path / "other"), "--layers", "2")
    assert result.exit_code == 0, result.errors
    assert "the dial expected" not in result.errors


def test_all_that_is_missing_is_named_at_once(command: Command, arguments: list[str]) -> None:
    result = command(*arguments[:5], "--layers", "1", "--out", "nowhere")
    assert result.exit_code == 2
    for flag in ("--hidden-size", "--sequence-length", "--batch-rows", "--matrix-learning-rate"):
        assert flag in result.errors
    assert "--layers" not in result.errors
