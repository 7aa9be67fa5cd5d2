"""The dial's promise: the demo at several budgets, time asked for against time taken.

python benchmarks/dial.py "2 minutes" "5 minutes" "10 minutes"

Each budget is a whole run from nothing in a fresh folder and a fresh process, start-up included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from modelwright.training.budget import Budget


def main() -> None:
    """Run every budget given on the command line and print a table."""
    budgets = sys.argv[1:] or ["2 minutes", "5 minutes", "10 minutes"]
    print("| budget | taken | ratio | shape | tokens | bits per byte | xz -9 | chrF | names it |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for budget in budgets:
        with tempfile.TemporaryDirectory() as folder:
            print(row(budget, Path(folder) / "demo"), flush=True)


def row(budget: str, folder: Path) -> str:
    """One demo run as a line of the table."""
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "modelwright", "demo", folder, "--budget", budget, "--no-serve"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    taken = time.monotonic() - started
    pretrain, evaluation = manifest(folder, "pretrain"), manifest(folder, "evaluate")
    settings, metrics, counts = pretrain["settings"], evaluation["metrics"], pretrain["counts"]
    return (
        f"| {budget} | {taken:.0f} s | {taken / Budget.parse(budget).amount:.2f} "
        f"| {settings['layers']} x {settings['hidden_size']}, "
        f"{counts['parameters'] / 1e6:.1f}M | {counts['tokens'] / 1e6:.2f}M "
        f"| {metrics['bits_per_byte_base']:.3f} | {metrics['xz_bits_per_byte']:.3f} "
        f"| {metrics['chrf']:.1f} | {metrics['names_object']:.0%} |"
    )


def manifest(folder: Path, stage: str) -> dict[str, dict[str, float]]:
    """The manifest of a stage's artifact."""
    (path,) = folder.glob(f"artifacts/{stage}-*/manifest.json")
    content: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return content


if __name__ == "__main__":
    main()
