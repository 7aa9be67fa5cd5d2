"""From raw English novels to bits per byte on held-out books, in the same wall time for all.

python benchmarks/training/equal_time.py MINUTES [--systems ours trainer litgpt]
    [--device cpu|cuda] [--python PATH] [--shared PATH] [--recipe JSON] [--tuning] [--json FILE]
python benchmarks/training/equal_time.py MINUTES --sweep [--device cpu|cuda] [--json FILE]

The time covers everything from the start of the first process until the model's folder is on disk:
reading the text, training the tokenizer, encoding, choosing sizes, training, saving. Ours is
`modelwright run` with a recipe that names the text and the budget and nothing else. The peers
get a recipe (shape, batch, rate, vocabulary, context), by default the one that `--sweep` found
best of those it tried in so many minutes each on other held-out books, and AdamW with a warm-up and
a decay to zero that ends with the time. One scorer, through transformers, for all. --python names
the peers' Python; without it an environment is made for them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from books import write_split
from peers import peers_python
from timed.recipe import Recipe

FOLDER = Path(__file__).resolve().parent
SHARED = FOLDER.parents[2] / "shared"
THREADS = 2
FIRST = {
    "cpu": Recipe(),
    "cuda": Recipe(
        width=512,
        layers=8,
        rows=64,
        learning_rate=1e-3,
        vocabulary=8192,
        context=512,
        precision="bfloat16",
        compiled=True,
        device="cuda",
        megabytes_per_minute=100.0,  # all there is: some passes over it
    ),
}
"""Where the sweep begins on each device."""

CHANGES: dict[str, tuple[dict[str, Any], ...]] = {
    "cpu": (
        {"precision": "bfloat16"},
        {"compiled": True},
        {"learning_rate": 4e-3},
        {"learning_rate": 1e-3},
        {"vocabulary": 2048},
        {"width": 192, "layers": 4},
        {"width": 256, "layers": 4},
        {"width": 320, "layers": 6},
        {"rows": 8},
        {"rows": 32},
        {"context": 128},
        {"width": 128, "layers": 3},
    ),
    "cuda": (
        {"learning_rate": 2e-3},
        {"learning_rate": 5e-4},
        {"compiled": False},
        {"width": 384, "layers": 6},
        {"width": 768, "layers": 12},
        {"vocabulary": 4096},
        {"rows": 128},
        {"rows": 32},
        {"context": 256},
    ),
}
"""What the sweep tries, one after the other; what is better is kept."""


@dataclass(frozen=True)
class Setting:
    """What is the same for all systems.

    Attributes
    ----------
    minutes : float
        From the text to the model.
    device : str
        ``cpu`` or ``cuda``.
    peers : Path
        The peers' Python, which scores too.
    train, test : Path
        Folder of the text to learn from, file of what is scored.
    """

    minutes: float
    device: str
    peers: Path
    train: Path
    test: Path


@dataclass(frozen=True)
class Result:
    """What a system reached.

    Attributes
    ----------
    system : str
        Which.
    seconds : float
        Wall time until the model was on disk.
    bits_per_byte : float
        On the held-out books.
    details : dict
        Parameters, steps, tokens, recipe, what was expected.
    """

    system: str
    seconds: float
    bits_per_byte: float
    details: dict[str, Any]


def main() -> None:
    """Run what was asked for and print a table."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        write_split(arguments.shared, data)
        is_tuning = arguments.tuning or arguments.sweep
        setting = Setting(
            arguments.minutes,
            arguments.device,
            peers_python(arguments.python),
            data / "train",
            data / ("tuning.jsonl" if is_tuning else "test.jsonl"),
        )
        if arguments.sweep:
            results = sweep(setting)
        else:
            recipe = replace(best_recipe(setting.device), **json.loads(arguments.recipe))
            results = []
            for system in arguments.systems:
                results.append(reached(system, recipe, setting))
                show(results[-1])
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in results], indent=1))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("minutes", type=float)
    parser.add_argument("--systems", nargs="+", default=["ours", "trainer", "litgpt"])
    parser.add_argument("--device", choices=FIRST, default="cpu")
    parser.add_argument("--python", type=Path, help="the peers' Python")
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder with the novels")
    parser.add_argument("--recipe", default="{}", help="JSON that changes the peers' recipe")
    parser.add_argument("--tuning", action="store_true", help="score on the books for tuning")
    parser.add_argument("--sweep", action="store_true", help="look for the peers' best recipe")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    return parser.parse_args()


def best_file(device: str) -> Path:
    """Where the recipe lies that the sweep found."""
    return FOLDER / ("peers_best.json" if device == "cpu" else f"peers_best_{device}.json")


def best_recipe(device: str) -> Recipe:
    """The recipe that the sweep found, or the one it begins with."""
    best = best_file(device)
    return Recipe(**json.loads(best.read_text())) if best.is_file() else FIRST[device]


def sweep(setting: Setting) -> list[Result]:
    """Coordinate descent with the Trainer, for both peers; writes the best recipe."""
    chosen = FIRST[setting.device]
    best = reached("trainer", chosen, setting)
    results = [best]
    show(best)
    for change in CHANGES[setting.device]:
        recipe = replace(chosen, **change)
        result = reached("trainer", recipe, setting)
        results.append(result)
        show(result)
        if result.bits_per_byte < best.bits_per_byte:
            best, chosen = result, recipe
    best_file(setting.device).write_text(json.dumps(asdict(chosen), indent=1) + "\n")
    return results


def reached(system: str, recipe: Recipe, setting: Setting) -> Result:
    """Train with one system and score it."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        began = time.time()
        if system == "ours":
            model, details = train_ours(setting, out)
            saved = (model / "manifest.json").stat().st_mtime
        else:
            model, details = train_peer(system, recipe, setting, out, began)
            saved = details["saved"]
        command = [str(setting.peers), "-m", "score", str(model), str(setting.test), setting.device]
        figures = json.loads(subprocess.check_output(command, cwd=FOLDER))
        details |= {"parameters": figures["parameters"], "scored_tokens": figures["tokens"]}
        return Result(system, saved - began, figures["bits_per_byte"], details)


def train_ours(setting: Setting, out: Path) -> tuple[Path, dict[str, Any]]:
    """Our whole way, up to the pretrained model; it looks for the device by itself."""
    budget = f'budget: "{setting.minutes * 60:g} seconds"\n'
    recipe = f'{budget}collect:\n  sources: ["{setting.train}"]\n'
    (out / "modelwright.yaml").write_text(recipe)
    command = [sys.executable, "-m", "modelwright", "run", "--until", "pretrain", "--quiet"]
    subprocess.run(
        command, cwd=out, env=environment(setting.device), check=True, stdout=subprocess.DEVNULL
    )
    artifacts = out / "artifacts"
    (model,), (dial,) = artifacts.glob("pretrain-*"), artifacts.glob("dial-*")
    manifest = json.loads((model / "manifest.json").read_text())
    expected = json.loads((dial / "dial.json").read_text())["expected"]
    stages = {
        path.parent.name.rsplit("-", 1)[0]: json.loads(path.read_text())["seconds"]
        for path in artifacts.glob("*/manifest.json")
    }
    wanted = ("hidden_size", "layers", "batch_rows", "sequence_length", "precision")
    settings = {name: manifest["settings"][name] for name in wanted}
    reached = {"reached": manifest["metrics"], "expected": expected, "seconds": stages}
    return model, {**manifest["counts"], **reached, **settings}


def train_peer(
    system: str, recipe: Recipe, setting: Setting, out: Path, began: float
) -> tuple[Path, dict[str, Any]]:
    """A peer, in a process of its own."""
    module = {"trainer": "timed.trainer", "litgpt": "timed.lit"}[system]
    deadline = began + setting.minutes * 60
    megabytes = recipe.megabytes_per_minute * setting.minutes
    command = [str(setting.peers), "-m", module, recipe.to_json(), str(deadline)]
    command += [str(setting.train), str(megabytes), str(out)]
    printed = subprocess.check_output(command, cwd=FOLDER, env=environment(setting.device))
    details: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return out, {**details, "recipe": asdict(recipe)}


def environment(device: str) -> dict[str, str]:
    """The same threads for all, and no GPU where the CPU is meant."""
    if device != "cpu":
        return {**os.environ}
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    return {**os.environ, **hidden, "OMP_NUM_THREADS": str(THREADS), "GOMP_SPINCOUNT": "2000"}


def show(result: Result) -> None:
    """Print one line."""
    print(
        f"{result.system}: {result.bits_per_byte:.4f} bits per byte in {result.seconds:.1f} s; "
        f"{json.dumps(result.details)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
