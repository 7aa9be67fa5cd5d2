"""A training that is given up early, and taken up again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from pruned_training import run
from tiny_workspace import ENVIRONMENT, finished_workspace

from modelwright.core.artifact import Artifact
from modelwright.core.errors import PrunedError
from modelwright.core.job import ShouldPrune
from modelwright.core.progress import SilentProgress
from modelwright.pipeline.plan import look_up
from modelwright.pipeline.runner import StageRun, run_stage
from modelwright.pipeline.stages import STAGES
from modelwright.training.settings import FinetuneSettings

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    finished = finished_workspace(tmp_path_factory.getbasetemp())
    return {one.manifest.stage: one for one in finished.artifacts()}


@pytest.fixture(scope="module")
def folders(made: dict[str, Artifact]) -> tuple[Path, Path]:
    return made["shards"].path, made["tokenizer"].path


def checkpoint(out: Path) -> str:
    (newest,) = out.with_name(f"{out.name}.partial").glob("scratch/checkpoints/*")
    return newest.name


@pytest.mark.parametrize("step", [2, 4, 6])
def test_what_was_given_up_goes_on_bit_identically(
    folders: tuple[Path, Path], tmp_path: Path, step: int
) -> None:
    told = run(*folders, tmp_path / "whole", 0)
    assert [at for at, _ in told] == [2, 4, 6]
    assert all("validation_loss" in values for _, values in told)
    assert run(*folders, tmp_path / "pruned", step) == [row for row in told if row[0] <= step]
    assert checkpoint(tmp_path / "pruned") == f"step-{step:08d}"
    assert not (tmp_path / "pruned").exists()
    # Promoted: the rest is measured, and nothing twice.
    assert run(*folders, tmp_path / "pruned", 0) == [row for row in told if row[0] > step]
    whole, pruned = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("whole", "pruned"))
    assert pruned == whole


def test_it_may_be_given_up_more_than_once(folders: tuple[Path, Path], tmp_path: Path) -> None:
    run(*folders, tmp_path / "whole", 0)
    for step in (2, 6, 0):
        run(*folders, tmp_path / "pruned", step)
    whole, pruned = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("whole", "pruned"))
    assert pruned == whole


def test_several_processes_give_up_together(folders: tuple[Path, Path], tmp_path: Path) -> None:
    script = Path(__file__).with_name("pruned_training.py")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]

    def together(*runs: tuple[str, int]) -> None:
        command = [*launcher, "--nproc-per-node", "2", script, *folders]
        command += [str(part) for name, step in runs for part in (tmp_path / name, step)]
        done = subprocess.run(
            command, env=ENVIRONMENT, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]

    together(("whole", 0), ("pruned", 2), ("pruned", 6))  # the others wait for what comes next
    assert checkpoint(tmp_path / "pruned") == "step-00000006"
    together(("pruned", 0))
    whole, pruned = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("whole", "pruned"))
    assert pruned == whole


def test_a_stage_can_be_given_up_and_run_again(made: dict[str, Artifact], tmp_path: Path) -> None:
    """Fine-tuning, through the runner; what is measured can decide."""
    stage = next(stage for stage in STAGES if stage.name == "finetune")
    inputs = {"base": made["pretrain"], "examples": made["examples"]}
    settings = FinetuneSettings(
        budget="8 steps", learning_rate=0.001, matrix_learning_rate=0.001, batch_rows=2
    )

    def finetune(name: str, should_prune: ShouldPrune) -> Artifact:
        planned = look_up(stage, settings, inputs, [])
        target = tmp_path / name
        stage_run = StageRun(planned, inputs, target, should_prune)
        return run_stage(stage_run, SilentProgress(), time.monotonic())

    def is_second(step: int, values: Mapping[str, float]) -> bool:
        return step >= 4 and values["validation_loss"] > 0

    whole = finetune("whole", lambda step, values: False)
    with pytest.raises(PrunedError, match="step 4"):
        finetune("pruned", is_second)
    pruned = finetune("pruned", lambda step, values: False)
    assert pruned.manifest.digest == whole.manifest.digest
    rows = [json.loads(row) for row in (pruned.path / "log/training.jsonl").open()]
    steps = [row["step"] for row in rows if "validation_loss" in row]
    assert steps == [2, 4, 6, 8]
