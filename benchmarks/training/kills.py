"""Kill pretraining at random moments and go on: is the model the same to the bit?

python benchmarks/training/kills.py [KILLS]

Each trial pretrains a small model (next token, or distillation from a teacher), gets SIGKILL at a
moment drawn evenly from the time of an undisturbed training, every other one from that after its
first checkpoint, and is started again with the same command. Averaged weights are on, checkpoints
are saved as often as possible. How many trials went on from a checkpoint is said too; the others
were killed before there was one, or after the end.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from small_shards import make_inputs, pretrain

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
SETTINGS = {
    "hidden-size": 64,
    "layers": 2,
    "sequence-length": 128,
    "batch-rows": 8,
    "micro-batch-rows": 4,
    "learning-rate": 0.01,
    "matrix-learning-rate": 0.02,
    "budget": "120 steps",
    "averaging": "exponential",
    "checkpoint-seconds": 0,
}


@dataclass(frozen=True)
class Trained:
    """The hash of a model's weights, and whether the training went on from a checkpoint."""

    weights: str
    went_on: bool


def main() -> int:
    """Run all trials; returns 1 if a model differs."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flags = make_inputs(folder, "tuning.jsonl")
        train(folder / "teacher", {**flags, "seed": "1"})
        for objective, extra in (
            ("next token", {"start": "bigrams"}),
            ("distillation", {"teacher": str(folder / "teacher")}),
        ):
            alone = folder / objective / "alone"
            until_saved, until_done = timed(alone, flags | extra)
            wanted = weights_of(alone)
            trials = [
                trial(folder / objective / str(number), flags | extra, moment)
                for number, moment in enumerate(moments(kills, until_saved, until_done))
            ]
            same = sum(one.weights == wanted for one in trials)
            went_on = sum(one.went_on for one in trials)
            print(f"{objective}: {same} of {kills} identical, {went_on} from a checkpoint")
            wrong += kills - same
    return 1 if wrong else 0


def timed(out: Path, flags: dict[str, str]) -> tuple[float, float]:
    """Train; the seconds until the first checkpoint and until the end."""
    began, until_saved = time.monotonic(), None
    checkpoints = out.with_name(f"{out.name}.partial") / "scratch" / "checkpoints"
    with start(out, flags) as run:
        while run.poll() is None:
            if until_saved is None and any(checkpoints.glob("step-????????")):
                until_saved = time.monotonic() - began
            time.sleep(0.01)
        assert run.returncode == 0, run.communicate()[1]
    assert until_saved is not None, "no checkpoint was seen"
    return until_saved, time.monotonic() - began


def moments(count: int, until_saved: float, until_done: float) -> list[float]:
    """When to kill, in seconds after the start."""
    return [
        random.Random(number).uniform(until_saved if number % 2 else 0.0, until_done)
        for number in range(count)
    ]


def trial(out: Path, flags: dict[str, str], moment: float) -> Trained:
    """Train, be killed once, train on."""
    with start(out, flags) as run:
        time.sleep(moment)
        run.send_signal(signal.SIGKILL)
        run.communicate()
    return train(out, flags)


def train(out: Path, flags: dict[str, str]) -> Trained:
    """Train until it is done."""
    with start(out, flags) as run:
        _, notes = run.communicate()
    assert run.returncode == 0, notes
    return Trained(weights_of(out), "going on from step" in notes)


def weights_of(model: Path) -> str:
    """A hash of them."""
    return hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()


def start(out: Path, flags: dict[str, str]) -> subprocess.Popen[str]:
    """The command, begun."""
    out.parent.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        pretrain({**flags, **SETTINGS, "out": out}),
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
