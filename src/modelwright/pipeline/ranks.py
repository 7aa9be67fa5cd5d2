"""Several processes on one command: ``torchrun --nproc-per-node 2 -m modelwright run``.

Rank 0 leads: it runs the command as if it were alone, and hands stages that are trained together
out to the others, which follow. Only the leader writes artifacts, manifests and the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from modelwright.core.artifact import Artifact, Manifest
from modelwright.core.errors import PrunedError
from modelwright.core.job import Job
from modelwright.core.progress import SilentProgress
from modelwright.core.ranks import are_several, local_rank
from modelwright.pipeline.stages import STAGES, load_function

LONGEST_WAIT = timedelta(days=7)
"""Followers wait while the leader does what needs no training; a dead process ends all sooner."""


@contextmanager
def leading() -> Iterator[None]:
    """Lead the other processes while the block runs; they end when it ends well."""
    _meet()
    yield
    _broadcast(b"")
    _part()


def hand_out(stage: str, job: Job[Any]) -> None:
    """Have the followers call the stage's function too, if there are any."""
    if not are_several():
        return
    message = {
        "stage": stage,
        "settings": job.settings.model_dump(mode="json"),
        "folder": str(job.folder),
        "inputs": {
            role: {"path": str(one.path), "manifest": one.manifest.model_dump(mode="json")}
            for role, one in job.inputs.items()
        },
    }
    _broadcast(json.dumps(message).encode())


def follow() -> None:
    """Do what the leader hands out until it ends.

    Raises
    ------
    ModelwrightError
        What a stage raises, as it does in the leader.
    """
    _meet()
    while message := _broadcast(b""):
        told = json.loads(message)
        stage = next(stage for stage in STAGES if stage.name == told["stage"])
        inputs = {
            role: Artifact(Path(one["path"]), Manifest.model_validate(one["manifest"]))
            for role, one in told["inputs"].items()
        }
        settings = stage.settings.model_validate(told["settings"])
        with suppress(PrunedError):  # the leader goes on with something else
            load_function(stage)(Job(settings, inputs, Path(told["folder"]), SilentProgress()))
    _part()


def _meet() -> None:
    """Wait until all processes are there."""
    import torch
    import torch.distributed as dist

    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank())
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=LONGEST_WAIT)
    else:
        dist.init_process_group("gloo", timeout=LONGEST_WAIT)


def _part() -> None:
    """Let go of the others in good order."""
    import torch.distributed as dist

    dist.destroy_process_group()


def _broadcast(message: bytes) -> bytes:
    """The leader's message, in every process."""
    import torch
    import torch.distributed as dist

    size = torch.tensor(len(message))
    dist.broadcast(size, src=0)
    text = torch.zeros(int(size), dtype=torch.uint8)
    if message:
        text.copy_(torch.frombuffer(bytearray(message), dtype=torch.uint8))
    if len(text):
        dist.broadcast(text, src=0)
    return bytes(text.tolist())
