"""One optimizer step cut into micro-batches in other ways: losses and gradients stay equal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from objectives_in_ways import ITEMS, case_of, cases, gradients, model_of
from safetensors.torch import load_file

Found = tuple[torch.Tensor, dict[str, torch.Tensor]]


def assert_equal(found: Found, wanted: Found, tolerance: float = 1e-6) -> None:
    loss, expected = wanted
    other_loss, others = found
    # A loss of policy gradients is a difference: near 0, beside terms near 1.
    assert abs(other_loss - loss) <= tolerance * max(abs(loss), 1.0)
    assert others.keys() == expected.keys()
    norm = torch.stack([gradient.norm() for gradient in expected.values()]).norm()
    differences = [(others[name] - gradient).norm() for name, gradient in expected.items()]
    assert torch.stack(differences).norm() <= tolerance * norm


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "adapted"])
@pytest.mark.parametrize("name", cases())
def test_one_step_in_four_ways(name: str, adapted: bool) -> None:
    case = case_of(name)

    def found(size: int, packs: bool, recomputes: bool = False) -> Found:
        model = model_of(case.kind, adapted)
        model.model.recompute_activations = recomputes
        return gradients(model, case, case.batches(size, packs))

    wanted = found(ITEMS, False)
    assert all(gradient.isfinite().all() for gradient in wanted[1].values())
    assert any(gradient.abs().max() > 0 for gradient in wanted[1].values())
    assert_equal(found(1, False), wanted)  # accumulated
    assert_equal(found(4, False), wanted)  # in unequal parts
    assert_equal(found(ITEMS, True), wanted)  # packed
    recomputed = found(ITEMS, False, recomputes=True)
    assert torch.equal(recomputed[0], wanted[0])
    assert all(torch.equal(recomputed[1][key], wanted[1][key]) for key in wanted[1])


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Three micro-batches for two processes: one gets filling."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(Path(__file__).with_name("objectives_in_ways.py"))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name in cases():
        case = case_of(name)
        wanted = gradients(model_of(case.kind), case, case.batches(2, False))
        for how in ("copies", "shards"):
            found = load_file(tmp_path / f"{name.replace(' ', '-')}-{how}.safetensors")
            loss = found.pop("loss")
            assert_equal((loss, found), wanted)
