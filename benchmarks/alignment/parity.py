"""Every loss and its gradients against TRL's, on random batches.

python benchmarks/alignment/parity.py [BATCHES]

Needs TRL 1.16.0 beside Modelwright. Takes a tiny random model in float32 and, for each method, 100
random batches through TRL's own trainer class and through ours; prints the worst relative
differences, of the loss and of the gradients of all parameters (norm of the difference over norm).
Exit code 1 if one is above 1e-5.
"""

from __future__ import annotations

import importlib.metadata
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "training" / "losses"))

import torch
from trl_methods import METHODS, Folders, difference, kto_baseline, kto_batch, make_folders

from modelwright.models.pretrained import load_model

LIMIT = 1e-5
PACKAGES = ("trl", "transformers", "torch")


def main() -> int:
    """Compare and print; returns the exit code."""
    batches = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    torch.set_num_threads(1)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    print(f"{versions}; float32, {batches} random batches a method\n")
    print("| method | loss | gradients |", "| --- | --- | --- |", sep="\n")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        folders = make_folders(Path(folder))
        for name, make in METHODS.items():
            method = make(folders)
            found = [difference(method, seed) for seed in range(batches)]
            loss = max(one.loss for one in found)
            gradient = max(one.gradient for one in found)
            print(f"| {name} | {loss:.1e} | {gradient:.1e} |", flush=True)
            worst = max(worst, loss, gradient)
        print(f"\nz0 of KTO is above 0 in {above_zero(folders, batches)} of {batches} batches")
    return int(not worst <= LIMIT)


def above_zero(folders: Folders, batches: int) -> int:
    """In how many batches KTO has a baseline that matters."""
    policy, reference = load_model(folders.policy), load_model(folders.reference)
    return sum(
        kto_baseline(policy, reference, kto_batch(random.Random(seed))).item() > 0
        for seed in range(batches)
    )


if __name__ == "__main__":
    sys.exit(main())
