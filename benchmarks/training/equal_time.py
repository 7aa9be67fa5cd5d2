"""From raw English novels to bits per byte on held-out books, in the same wall time for all.

python benchmarks/training/equal_time.py MINUTES [--systems ours trainer litgpt]
    [--recipe JSON] [--tuning] [--json FILE]
python benchmarks/training/equal_time.py MINUTES --sweep [--json FILE]

The time covers everything from the start of the first process until the model's folder is on disk:
reading the text, training the tokenizer, encoding, choosing sizes, training, saving. Ours is
`modelwright run` with a recipe that names the text and the budget and nothing else. The peers
get a recipe (shape, batch, rate, vocabulary, context), by default the one that `--sweep` found
best of those it tried in so many minutes each on other held-out books, and AdamW with a warm-up and
a decay to zero that ends with the time. One scorer, through transformers, for all.
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
from timed.recipe import MEGABYTES_PER_MINUTE, Recipe

FOLDER = Path(__file__).resolve().parent
SHARED = FOLDER.parents[2] / "shared"
THREADS = 2
BEST = FOLDER / "peers_best.json"
"""The recipe that the sweep found."""

CHANGES: tuple[dict[str, Any], ...] = (
    {"learning_rate": 4e-3},
    {"learning_rate": 1e-3},
    {"vocabulary": 2048},
    {"width": 192, "layers": 4},
    {"width": 256, "layers": 4},
    {"width": 320, "layers": 6},
    {"rows": 8},
    {"rows": 32},
    {"context": 128},
)
"""What the sweep tries, one after the other; what is better is kept."""


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
        write_split(SHARED, data)
        if arguments.sweep:
            results = sweep(data, arguments.minutes)
        else:
            recipe = Recipe(**json.loads(BEST.read_text())) if BEST.is_file() else Recipe()
            recipe = replace(recipe, **json.loads(arguments.recipe))
            test = data / ("tuning.jsonl" if arguments.tuning else "test.jsonl")
            results = []
            for system in arguments.systems:
                results.append(reached(system, recipe, data, test, arguments.minutes))
                show(results[-1])
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in results], indent=1))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("minutes", type=float)
    parser.add_argument("--systems", nargs="+", default=["ours", "trainer", "litgpt"])
    parser.add_argument("--recipe", default="{}", help="JSON that changes the peers' recipe")
    parser.add_argument("--tuning", action="store_true", help="score on the books for tuning")
    parser.add_argument("--sweep", action="store_true", help="look for the peers' best recipe")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    return parser.parse_args()


def sweep(data: Path, minutes: float) -> list[Result]:
    """Coordinate descent with the Trainer, for both peers; writes the best recipe."""
    best_recipe = Recipe()
    best = reached("trainer", best_recipe, data, data / "tuning.jsonl", minutes)
    results = [best]
    show(best)
    for change in CHANGES:
        recipe = replace(best_recipe, **change)
        result = reached("trainer", recipe, data, data / "tuning.jsonl", minutes)
        results.append(result)
        show(result)
        if result.bits_per_byte < best.bits_per_byte:
            best, best_recipe = result, recipe
    BEST.write_text(json.dumps(asdict(best_recipe), indent=1) + "\n")
    return results


def reached(system: str, recipe: Recipe, data: Path, test: Path, minutes: float) -> Result:
    """Train with one system and score it."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        began = time.time()
        if system == "ours":
            model, details = train_ours(data / "train", out, minutes)
            saved = (model / "manifest.json").stat().st_mtime
        else:
            model, details = train_peer(system, recipe, data / "train", out, began, minutes)
            saved = details["saved"]
        figures = json.loads(
            subprocess.check_output(
                [peers_python(), "-m", "score", str(model), str(test), "cpu"], cwd=FOLDER
            )
        )
        details |= {"parameters": figures["parameters"], "scored_tokens": figures["tokens"]}
        return Result(system, saved - began, figures["bits_per_byte"], details)


def train_ours(text: Path, out: Path, minutes: float) -> tuple[Path, dict[str, Any]]:
    """Our whole way, up to the pretrained model."""
    recipe = f'budget: "{minutes * 60:g} seconds"\ncollect:\n  sources: ["{text}"]\n'
    (out / "modelwright.yaml").write_text(recipe)
    command = [sys.executable, "-m", "modelwright", "run", "--until", "pretrain", "--quiet"]
    subprocess.run(command, cwd=out, env=environment(), check=True, stdout=subprocess.DEVNULL)
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
    return model, {**manifest["counts"], "expected": expected, "seconds": stages, **settings}


def train_peer(
    system: str, recipe: Recipe, text: Path, out: Path, began: float, minutes: float
) -> tuple[Path, dict[str, Any]]:
    """A peer, in a process of its own."""
    module = {"trainer": "timed.trainer", "litgpt": "timed.lit"}[system]
    deadline = began + minutes * 60
    megabytes = MEGABYTES_PER_MINUTE * minutes
    command = [peers_python(), "-m", module, recipe.to_json(), str(deadline), str(text)]
    command += [str(megabytes), str(out)]
    printed = subprocess.check_output(command, cwd=FOLDER, env=environment())
    details: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return out, {**details, "recipe": asdict(recipe)}


def environment() -> dict[str, str]:
    """The same threads for all."""
    return {**os.environ, "OMP_NUM_THREADS": str(THREADS), "GOMP_SPINCOUNT": "2000"}


def show(result: Result) -> None:
    """Print one line."""
    print(
        f"{result.system}: {result.bits_per_byte:.4f} bits per byte in {result.seconds:.1f} s; "
        f"{json.dumps(result.details)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
