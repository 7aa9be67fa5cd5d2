"""Every loss and its gradients against TRL's, on random batches.

python benchmarks/alignment/parity.py [BATCHES]

Needs TRL 1.16.0 beside Modelwright. Takes a tiny random model in float32 and, for each method, 100
random batches through TRL's own trainer class and through ours; prints the worst relative
differences, of the loss and of the gradients of all parameters (norm of the difference over norm).
PPO is compared with steps that were recorded inside TRL 1.9.0 (`ppo_reference.py`), its gradients
with respect to log-probabilities and values. Exit code 1 if a difference is above 1e-5.
"""

from __future__ import annotations

import importlib.metadata
import random
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "training" / "losses"))

import datasets
import ppo_golden
import torch
import transformers
from trl_methods import METHODS, Folders, difference, kto_baseline, kto_batch, make_folders

from modelwright.models.pretrained import load_model

LIMIT = 1e-5
PACKAGES = ("trl", "transformers", "torch")


def main() -> int:
    """Compare and print; returns the exit code."""
    batches = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    print(f"{versions}; float32, {batches} random batches a method\n")
    print("| method | loss | gradients |", "| --- | --- | --- |", sep="\n")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        folders = make_folders(Path(folder))
        for name, loss, gradient in chain(rows(folders, batches), ppo_rows()):
            print(f"| {name} | {loss:.1e} | {gradient:.1e} |", flush=True)
            worst = max(worst, loss, gradient)
        print(f"\nz0 of KTO is above 0 in {above_zero(folders, batches)} of {batches} batches")
    return int(not worst <= LIMIT)


def rows(folders: Folders, batches: int) -> Iterator[tuple[str, float, float]]:
    """Each method with its worst differences."""
    for name, make in METHODS.items():
        method = make(folders)
        found = [difference(method, seed) for seed in range(batches)]
        yield name, max(one.loss for one in found), max(one.gradient for one in found)


def ppo_rows() -> Iterator[tuple[str, float, float]]:
    """The recorded steps of PPO."""
    for name, case in ppo_golden.GOLDEN["cases"].items():
        found = ppo_golden.differences(case)
        gradient = max(found["log_probability_gradient"], found["value_gradient"])
        made = ppo_golden.GOLDEN["made"]["trl"]
        yield f"PPO {name} (one recorded step, TRL {made})", found["loss"], gradient


def above_zero(folders: Folders, batches: int) -> int:
    """In how many batches KTO has a baseline that matters."""
    policy, reference = load_model(folders.policy), load_model(folders.reference)
    return sum(
        kto_baseline(policy, reference, kto_batch(random.Random(seed))).item() > 0
        for seed in range(batches)
    )


if __name__ == "__main__":
    sys.exit(main())
