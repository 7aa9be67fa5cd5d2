"""What checkpoints cost: the share of training time that they hold up, and their size.

python benchmarks/training/saving.py [SECONDS]

Pretrains a model of 12M parameters (384 wide, 6 layers, Muon) for so many seconds (60 by default),
saving every 5, every 20 and never. The time that training waits for a checkpoint comes from the
manifest; the speed beside it shows what the writing thread takes away besides.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from small_shards import make_inputs, pretrain

SHAPE = {
    "hidden-size": 384,
    "layers": 6,
    "sequence-length": 256,
    "batch-rows": 16,
    "learning-rate": 0.005,
    "matrix-learning-rate": 0.01,
    "validation-count": 0,
}
NEVER = 10_000


def main() -> None:
    """Train and print a table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = make_inputs(folder, "train")
        print("| saved every | waited | share | checkpoint | tokens/s |")
        print("| --- | --- | --- | --- | --- |")
        for interval in (5, 20, NEVER):
            print(row(folder, inputs, interval, seconds), flush=True)


def row(folder: Path, inputs: dict[str, str], interval: int, seconds: float) -> str:
    """One training, as a line of the table."""
    out = folder / f"every-{interval}"
    budget = {"budget": f"{seconds:g} seconds", "checkpoint-seconds": interval}
    command = pretrain({**inputs, **SHAPE, **budget, "out": out})
    size = 0
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        while run.poll() is None:
            size = max(size, largest_checkpoint(out.with_name(f"{out.name}.partial")))
            time.sleep(0.5)
    assert run.returncode == 0
    manifest = json.loads((out / "manifest.json").read_text())
    waited = manifest["metrics"]["saving_seconds"]
    spent = manifest["metrics"]["training_seconds"]
    speed = manifest["counts"]["tokens"] / spent
    every = "never" if interval == NEVER else f"{interval} s"
    return (
        f"| {every} | {waited:.2f} s | {waited / spent:.2%} | {size / 1e6:.0f} MB | {speed:,.0f} |"
    )


def largest_checkpoint(partial: Path) -> int:
    """Bytes of a finished checkpoint that lies there now."""
    sizes = [0]
    for checkpoint in (partial / "scratch" / "checkpoints").glob("step-????????"):
        try:
            sizes.append(sum(file.stat().st_size for file in checkpoint.iterdir()))
        except FileNotFoundError:  # a newer one took its place
            continue
    return max(sizes)


if __name__ == "__main__":
    main()
