"""Several processes on the command line: torchrun starts them, the first one leads."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_workspace import ENVIRONMENT, make_workspace, modelwright, write_sources

from modelwright.core.artifact import read_manifest
from modelwright.core.workspace import Workspace

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
COMMAND = [sys.executable, *LAUNCHER, "-m", "modelwright"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "workspace", *write_sources(tmp_path))


@pytest.mark.parametrize("flags", [[], ["--pretrain.shard"]])
def test_a_workspace_is_brought_up_to_date(workspace: Workspace, flags: list[str]) -> None:
    done = subprocess.run(
        [*COMMAND, "run", *flags],
        cwd=workspace.root,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("pretrain: not made yet") == 1  # one process speaks
    stages = {path.name.rsplit("-", 1)[0] for path in workspace.artifacts_folder.iterdir()}
    assert {"pretrain", "finetune", "evaluate"} <= stages
    again = modelwright("run", cwd=workspace.root)
    assert "not made yet" not in again.stderr


def test_ctrl_c_saves_and_one_process_goes_on(workspace: Workspace) -> None:
    flags = ["run", "--until", "pretrain", "--budget", "1200 steps"]
    with subprocess.Popen(
        [*COMMAND, *flags],
        cwd=workspace.root,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as running:
        wait_for_rows(workspace)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        running.wait(60)
    (partial,) = workspace.artifacts_folder.glob("pretrain-*.partial")
    (checkpoint,) = (partial / "scratch" / "checkpoints").iterdir()
    step = int(checkpoint.name.removeprefix("step-"))
    assert 0 < step < 1200
    done = modelwright(*flags, cwd=workspace.root)
    assert done.returncode == 0, done.stderr
    assert f"going on from step {step:,}" in done.stderr
    (model,) = workspace.artifacts_folder.glob("pretrain-*")
    assert read_manifest(model).counts["steps"] == 1200


def wait_for_rows(workspace: Workspace) -> None:
    """Until training has begun."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for log in workspace.artifacts_folder.glob("pretrain-*.partial/log/training.jsonl"):
            if log.read_text():
                return
        time.sleep(0.05)
    pytest.fail("training did not begin")
