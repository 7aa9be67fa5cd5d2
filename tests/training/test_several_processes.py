"""Two processes train what one trains: copies (DDP) and pieces (FSDP2), with gloo on the CPU."""

import json
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from ranked_training import gradients_file, train
from safetensors.torch import load_file

from modelwright.training.batches import Batch
from modelwright.training.micro_batch import has_weight
from modelwright.training.parallel.shares import micro_rows, share
from modelwright.training.parallel.world import World

HOW = ("copies", "shards")
OBJECTIVES = ("next_token", "distillation")


Run = tuple[str, str, Path, int]
"""How and with which objective to train, in which folder, and to which step."""


def together(runs: list[Run]) -> None:
    """Train with two processes, one run after the other."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(Path(__file__).with_name("ranked_training.py"))]
    command += [str(part) for run in runs for part in run]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs of this file: starting two processes takes much longer than the training."""
    root = tmp_path_factory.mktemp("trained")
    for objective in OBJECTIVES:
        (root / objective).mkdir()
        for steps in (1, 3):
            train(root / objective / f"one-{steps}", False, objective, steps)
    first, second = list[Run](), list[Run]()
    for how, objective in product(HOW, OBJECTIVES):
        folder = root / f"{how}-{objective}"
        shutil.copytree(root / objective / "one-3", folder / "one_two")
        for name, steps in (("started", 1), ("two", 3), ("one_two", 4), ("whole", 5), ("cut", 2)):
            first.append((how, objective, folder / name, steps))
        for name, steps in (("two", 4), ("one_two", 6), ("cut", 5)):
            second.append((how, objective, folder / name, steps))
    together(first)
    for how, objective in product(HOW, OBJECTIVES):
        folder = root / f"{how}-{objective}"
        shutil.copytree(folder / "two", folder / "two_one")
        for steps in (4, 6):
            train(folder / "two_one", False, objective, steps)
    for objective in OBJECTIVES:
        for steps in (4, 6):
            train(root / objective / "one-3", False, objective, steps)
    together(second)
    return root


def saved(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of the checkpoint."""
    (newest,) = folder.iterdir()
    return {
        f"{path.stem}/{name}": tensor
        for path in newest.glob("*.safetensors")
        for name, tensor in load_file(path).items()
    }


def assert_close(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        difference = (found[name].double() - tensor.double()).norm()
        assert difference <= 1e-5 * tensor.double().norm() + 1e-7, name


def distance(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], *names: str) -> float:
    """Between the tensors of these names, seen as one vector, of its norm."""
    ours, theirs = (
        torch.cat([tensors[name].double().flatten() for name in names])
        for tensors in (found, wanted)
    )
    return float((ours - theirs).norm() / theirs.norm())


def losses_and_norms(folder: Path) -> list[list[float]]:
    """Loss and gradient norm of each step, as the guard remembers them."""
    (file,) = folder.glob("*/state.json")
    steps = json.loads(file.read_text())["guard"]["steps"]
    return [[loss, norm] for _, loss, norm, *_ in steps]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_processes_equal_one(trained: Path, how: str, objective: str) -> None:
    """After one step Muon's and AdamW's averages are the gradient times a constant."""
    folders = trained / objective / "one-1", trained / f"{how}-{objective}" / "started"
    one_saved, two_saved = map(saved, folders)
    assert_close(two_saved, one_saved)
    gradients, theirs = (
        torch.cat(
            [found[name].flatten() for name in one_saved if name.endswith(("buffer", "exp_avg"))]
        )
        for found in (one_saved, two_saved)
    )
    assert (gradients - theirs).norm() < 1e-6 * gradients.norm()
    one, two = (json.loads(next(folder.glob("*/state.json")).read_text()) for folder in folders)
    assert two["tokens"] == one["tokens"]  # filling is not counted
    ((_, *loss_and_norm, _, _, _),) = one["guard"]["steps"]
    assert two["guard"]["steps"][0][1:3] == pytest.approx(loss_and_norm, rel=1e-6)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_another_number_of_processes_goes_on(trained: Path, how: str, objective: str) -> None:
    """The first step after the change, from one checkpoint; and what three steps come to."""
    one, folder = trained / objective / "one-3", trained / f"{how}-{objective}"
    one_two, two_one, two = (folder / name for name in ("one_two", "two_one", "two"))
    for changed, stayed in ((one_two, one), (two_one, two)):
        found, wanted = (load_file(gradients_file(place, 4)) for place in (changed, stayed))
        assert found.keys() == wanted.keys()
        assert all(distance(found, wanted, name) < 1e-6 for name in wanted)
    wanted = saved(one)
    for changed in (one_two, two_one):
        found = saved(changed)
        for part in ("model/", "average/"):
            names = [name for name in wanted if name.startswith(part)]
            assert distance(found, wanted, *names) < 1e-6, part
        # Momentum and single tensors less strictly: Muon makes as much of the rounding in weak
        # directions of a gradient as of the strong ones, and the gradients after it follow.
        assert_close(found, wanted)
        for ours, theirs in zip(losses_and_norms(changed), losses_and_norms(one), strict=True):
            assert ours == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_processes_resume_bit_identically(trained: Path, how: str, objective: str) -> None:
    whole, cut = (saved(trained / f"{how}-{objective}" / name) for name in ("whole", "cut"))
    assert all(torch.equal(cut[name], tensor) for name, tensor in whole.items())


def numbered(count: int) -> list[Batch]:
    shape = (1, 4)
    return [
        Batch(torch.full(shape, number), torch.zeros(shape, dtype=torch.int64), torch.ones(shape))
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_shares_are_equally_many_and_hold_every_batch_once(count: int, size: int) -> None:
    shares = [share(numbered(count), World(rank, size)) for rank in range(size)]
    assert len({len(own) for own in shares}) == 1
    real = [int(batch.tokens[0, 0]) for own in shares for batch in own if has_weight(batch)]
    assert sorted(real) == list(range(count))


@pytest.mark.parametrize(
    ("rows", "largest", "size", "wanted"),
    [(32, 32, 1, 32), (32, 32, 2, 16), (33, 32, 2, 17), (8, 2, 2, 2), (1, 32, 4, 1)],
)
def test_rows_go_to_all(rows: int, largest: int, size: int, wanted: int) -> None:
    assert micro_rows(rows, largest, World(0, size)) == wanted
