"""Kill pretraining at random moments and go on: is the model the same to the bit?

python benchmarks/training/kills.py [KILLS]

Each trial pretrains a small model (next token, or distillation from a teacher), gets SIGKILL at a
moment drawn evenly from the time of an undisturbed training, and is started again with the same
command. Averaged weights are on, checkpoints are saved as often as possible.
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
from pathlib import Path

from books import write_split

SHARED = Path(__file__).resolve().parents[3] / "shared"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
SHAPE = [
    "--hidden-size",
    "64",
    "--layers",
    "2",
    "--sequence-length",
    "128",
    "--batch-rows",
    "8",
    "--micro-batch-rows",
    "4",
    "--learning-rate",
    "0.01",
    "--matrix-learning-rate",
    "0.02",
    "--budget",
]
SETTINGS = [*SHAPE, "120 steps", "--averaging", "exponential", "--checkpoint-seconds", "0"]


def main() -> int:
    """Run all trials; returns 1 if a model differs."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_split(SHARED, folder / "data")
        recipe = (
            f'budget: "1 minute"\ncollect:\n  sources: ["{folder / "data" / "tuning.jsonl"}"]\n'
        )
        (folder / "modelwright.yaml").write_text(recipe)
        command = [sys.executable, "-m", "modelwright", "run", "--until", "shards", "--quiet"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        inputs = []
        for stage in ("shards", "tokenizer"):
            (artifact,) = (folder / "artifacts").glob(f"{stage}-*")
            inputs += [f"--{stage}", str(artifact)]
        train(folder / "teacher", [*inputs, "--seed", "1"])
        for objective, extra in (
            ("next token", []),
            ("distillation", ["--teacher", str(folder / "teacher")]),
        ):
            began = time.monotonic()
            wanted = train(folder / objective / "alone", inputs + extra)
            seconds = time.monotonic() - began
            same = sum(
                trial(folder / objective / str(number), inputs + extra, seconds, number) == wanted
                for number in range(kills)
            )
            print(f"{objective}: {same} of {kills} identical", flush=True)
            wrong += kills - same
    return 1 if wrong else 0


def trial(out: Path, flags: list[str], seconds: float, seed: int) -> str:
    """Train, be killed once, train on."""
    with start(out, flags) as run:
        time.sleep(random.Random(seed).uniform(0.0, seconds))
        run.send_signal(signal.SIGKILL)
    return train(out, flags)


def train(out: Path, flags: list[str]) -> str:
    """Train until it is done; returns the hash of the weights."""
    with start(out, flags) as run:
        run.wait()
    assert run.returncode == 0
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


def start(out: Path, flags: list[str]) -> subprocess.Popen[bytes]:
    """The command, begun."""
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "modelwright", "pretrain", "--out", str(out)]
    silent = subprocess.DEVNULL
    return subprocess.Popen(
        [*command, *flags, *SETTINGS], env=ENVIRONMENT, stdout=silent, stderr=silent
    )


if __name__ == "__main__":
    raise SystemExit(main())
