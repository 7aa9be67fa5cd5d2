"""Pretraining that is given up at a measurement, alone or under torchrun.

python -m torch.distributed.run --nproc-per-node 2 pruned_training.py SHARDS TOKENIZER OUT STEP ...

OUT and STEP may come several times, for one run after the other; each STEP is that of a
measurement, and 0 gives nothing up.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from modelwright.core.artifact import open_artifact
from modelwright.core.errors import PrunedError
from modelwright.core.progress import SilentProgress
from modelwright.core.ranks import is_follower
from modelwright.pipeline.plan import look_up
from modelwright.pipeline.ranks import follow, leading
from modelwright.pipeline.runner import StageRun, run_stage
from modelwright.pipeline.stages import STAGES
from modelwright.training.settings import PretrainSettings

SETTINGS = PretrainSettings(
    hidden_size=64, layers=1, sequence_length=32, batch_rows=4, budget="8 steps",
    learning_rate=0.01, matrix_learning_rate=0.02, averaging="exponential", averaging_part=0.3,
    early_stopping=5, validation_count=4, validation_windows=4, sample_prompts=[],
    precision="float32",
)  # fmt: skip
STAGE = next(stage for stage in STAGES if stage.name == "pretrain")

Told = list[tuple[int, dict[str, float]]]


def run(shards: Path, tokenizer: Path, out: Path, step: int) -> Told:
    """Pretrain, going on from what is there; returns what was told of measurements."""
    told = Told()

    def should_prune(at: int, values: Mapping[str, float]) -> bool:
        told.append((at, dict(values)))
        return at == step

    inputs = {
        "shards": open_artifact(shards, "shards"),
        "tokenizer": open_artifact(tokenizer, "tokenizer"),
    }
    planned = look_up(STAGE, SETTINGS, inputs, [])
    try:
        run_stage(StageRun(planned, inputs, out, should_prune), SilentProgress(), time.monotonic())
    except PrunedError:
        assert step
    else:
        assert not step
    return told


if __name__ == "__main__":
    torch.set_num_threads(1)
    shards, tokenizer = map(Path, sys.argv[1:3])
    if is_follower():
        follow()
    else:
        with leading():
            for out, step in zip(sys.argv[3::2], sys.argv[4::2], strict=True):
                run(shards, tokenizer, Path(out), int(step))
