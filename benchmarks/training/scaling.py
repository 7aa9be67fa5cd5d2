"""What a model of some size reaches after some tokens: the points behind the dial's forecast.

python benchmarks/training/scaling.py WORKSPACE POINTS.jsonl --out FIGURES.jsonl [--jobs 2]

Each line of POINTS is a JSON object of flags of `modelwright pretrain` (``layers``,
``hidden_size``, ``batch_rows``, ...) and ``tokens``. In WORKSPACE `modelwright run --until shards`
was run.
Budgets are in tokens, so that what else the machine does changes nothing; each run has one thread.
What is in FIGURES already, of a text of as many tokens, is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Point = dict[str, Any]

COMMON: Point = {
    "sequence_length": 256,
    "batch_rows": 8,
    "learning_rate": 0.01,
    "matrix_learning_rate": 0.02,
    "validation_windows": 400,
    "validation_count": 0,
    "compile": True,
    "checkpoint_seconds": 1000,
}
"""Flags of every point that does not say otherwise."""


def main() -> None:
    """Run all points that are not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("points", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    points = read(arguments.points)
    done = read(arguments.out) if arguments.out.is_file() else []
    tokens = _text_tokens(_artifact(arguments.workspace, "shards"))
    of_text = [figure["point"] for figure in done if figure["text_tokens"] == tokens]
    wanted = [point for point in points if point not in of_text]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for figure in pool.map(lambda point: run(arguments.workspace, point), wanted):
            with arguments.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(figure) + "\n")
            print(json.dumps(figure), flush=True)


def read(path: Path) -> list[Point]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def run(workspace: Path, point: Point) -> Point:
    """Train one point; returns it with what it reached."""
    flags = COMMON | {name: value for name, value in point.items() if name != "tokens"}
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "model"
        command = [sys.executable, "-m", "modelwright", "pretrain", "--out", str(out)]
        shards, tokenizer = (_artifact(workspace, stage) for stage in ("shards", "tokenizer"))
        command += ["--shards", str(shards), "--tokenizer", str(tokenizer)]
        command += ["--budget", f"{point['tokens']} tokens"]
        for flag, value in flags.items():
            option = flag.replace("_", "-")
            if isinstance(value, bool):
                command.append(f"--{option}" if value else f"--no-{option}")
            else:
                command += [f"--{option}", str(value)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=environment, capture_output=True)
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    metrics, counts = manifest["metrics"], manifest["counts"]
    return {
        "point": point,
        "bits_per_byte": metrics["validation_bits_per_byte"],
        "parameters": counts["parameters"],
        "steps": counts["steps"],
        "tokens": counts["tokens"],
        "text_tokens": _text_tokens(shards),
        "looks_back": point.get("start") == "bigrams",
        "seconds": metrics["training_seconds"],
    }


def _text_tokens(shards: Path) -> int:
    index = json.loads((shards / "index.json").read_text(encoding="utf-8"))
    return int(index["splits"]["train"]["tokens"])


def _artifact(workspace: Path, stage: str) -> Path:
    (folder,) = (workspace / "artifacts").glob(f"{stage}-*")
    return folder


if __name__ == "__main__":
    main()
