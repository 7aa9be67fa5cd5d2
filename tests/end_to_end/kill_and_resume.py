"""Kill a run at random moments, run again each time, and compare with a run left alone.

python tests/end_to_end/kill_and_resume.py --kills 20 --steps 60

Each trial is a fresh workspace with the same recipe. ``modelwright run`` is started, gets SIGKILL
at a moment drawn evenly from the time that a whole run takes, and is started again. The weights and
every artifact must come out byte for byte as without the kill; exit code 0 says so.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from modelwright.core.files import sha256_file, write_text
from modelwright.core.workspace import Workspace

MODULES = ("argparse", "bisect", "fractions", "heapq", "pathlib", "shlex", "statistics", "textwrap")
"""Modules of the standard library whose source is the text to learn from."""

COMMAND = (sys.executable, "-m", "modelwright", "run")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

Moment = Callable[[Workspace, "subprocess.Popen[bytes]"], None]
"""Returns when the run in that workspace is to be killed, or when it has ended."""


@dataclass(frozen=True)
class Result:
    """What a workspace holds after its run.

    Attributes
    ----------
    weights : str
        SHA-256 of the final model's weights.
    digests : dict
        Digest of each artifact by id.
    """

    weights: str
    digests: dict[str, str]

    @classmethod
    def of(cls, workspace: Workspace) -> Result:
        """Read it from the artifacts, whose files must be as their manifests say."""
        artifacts = workspace.artifacts()
        for artifact in artifacts:
            if changed := artifact.changed_files():
                raise SystemExit(f"{artifact.path}: changed since it was made: {changed}")
        return cls(
            sha256_file(workspace.artifact("finetune").file("model.safetensors")),
            {artifact.id: artifact.manifest.digest for artifact in artifacts},
        )


def main() -> int:
    """Run all trials and print a table; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="number of trials")
    parser.add_argument("--steps", type=int, default=60, help="steps of pretraining")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-and-resume-") as folder:
        return run_trials(Path(folder), arguments.kills, arguments.steps, arguments.seed)


def run_trials(folder: Path, kills: int, steps: int, seed: int) -> int:
    """One run left alone, then ``kills`` runs that are killed once."""
    sources = write_sources(folder / "sources")
    alone = make_workspace(folder / "alone", sources, steps)
    seconds = finish(alone)
    expected = Result.of(alone)
    print(f"left alone: {seconds:.1f} s, model.safetensors {expected.weights[:16]}")
    print(f"{'trial':>5}  {'killed after':>12}  {'during':<10}  {'then':>6}  result", flush=True)
    drawn = random.Random(seed)
    identical = 0
    for trial in range(1, kills + 1):
        after, during, again, found = one_trial(folder / f"{trial}", sources, steps, drawn, seconds)
        identical += found == expected
        print(
            f"{trial:>5}  {after:>10.2f} s  {during:<10}  {again:>4.1f} s  "
            f"{'identical' if found == expected else 'DIFFERENT'} {found.weights[:16]}",
            flush=True,
        )
    print(f"{identical} of {kills} identical")
    return 0 if identical == kills else 1


def one_trial(
    root: Path, sources: tuple[Path, Path], steps: int, drawn: random.Random, seconds: float
) -> tuple[float, str, float, Result]:
    """Kill a run at a drawn moment and finish it: (moment, stage, time of the rest, result)."""
    attempt = 0
    while True:
        attempt += 1
        workspace = make_workspace(root.with_name(f"{root.name}-{attempt}"), sources, steps)
        after = drawn.uniform(0, seconds)
        if kill(workspace, at_time(after)):
            break
        # This run was quicker than the first and had ended: it proves nothing, so draw again.
    during = stage_under_way(workspace)
    again = finish(workspace)
    return after, during, again, Result.of(workspace)


def kill(workspace: Workspace, moment: Moment) -> bool:
    """Start a run and kill it at that moment; False if it had ended by itself."""
    with subprocess.Popen(
        COMMAND,
        cwd=workspace.root,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            moment(workspace, process)
        finally:
            process.kill()
    return process.returncode != 0


def finish(workspace: Workspace) -> float:
    """Run to the end; returns the seconds it took."""
    started = time.monotonic()
    done = subprocess.run(
        COMMAND, cwd=workspace.root, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"the run failed:\n{done.stderr}")
    return time.monotonic() - started


def at_time(seconds: float) -> Moment:
    """So many seconds after the start."""

    def wait(workspace: Workspace, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return

    return wait


def after_checkpoint(stage: str) -> Moment:
    """As soon as a training stage has written a checkpoint."""

    def wait(workspace: Workspace, process: subprocess.Popen[bytes]) -> None:
        pattern = f"{stage}-*.partial/scratch/checkpoints/step-????????"
        while process.poll() is None and not any(workspace.artifacts_folder.glob(pattern)):
            time.sleep(0.005)

    return wait


def stage_under_way(workspace: Workspace) -> str:
    """The stage whose half-finished folder a killed run left."""
    partial = [path.name for path in workspace.artifacts_folder.glob("*.partial")]
    if partial:
        return partial[0].partition("-")[0]
    return "the end" if (workspace.root / "report.html").exists() else "no stage"


def write_sources(folder: Path) -> tuple[Path, Path]:
    """Source texts of some modules, and questions about their functions: (text, examples)."""
    text, examples = folder / "text", folder / "examples.jsonl"
    text.mkdir(parents=True)
    rows = []
    for name in MODULES:
        library = Path(sysconfig.get_path("stdlib"))
        file = library / f"{name}.py"
        source = (file if file.is_file() else library / name / "__init__.py").read_text("utf-8")
        write_text(text / f"{name}.txt", source)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and (said := ast.get_docstring(node)):
                rows.append({"prompt": f"{name}.{node.name}:", "completion": f" {said[:80]}"})
    write_text(examples, "".join(json.dumps(row) + "\n" for row in rows))
    return text, examples


def make_workspace(root: Path, sources: tuple[Path, Path], steps: int) -> Workspace:
    """A workspace with a recipe for a small model and many checkpoints."""
    text, examples = sources
    rates = {"learning_rate": 0.004, "matrix_learning_rate": 0.01, "checkpoint_seconds": 0.5}
    recipe = {
        "name": "killed",
        "budget": f"{steps} steps",
        "collect": {"sources": [str(text)]},
        "examples": {"sources": [str(examples)]},
        "tokenizer": {"vocabulary_size": 512},
        "pretrain": {
            **rates,
            "hidden_size": 128,
            "layers": 2,
            "sequence_length": 128,
            "batch_rows": 8,
            "validation_windows": 8,
            "validation_count": 2,
        },
        "finetune": {**rates, "batch_rows": 8, "budget": f"{max(1, steps // 2)} steps"},
        "evaluate": {"max_text_bytes": 4096, "max_questions": 8, "max_answer_tokens": 8},
    }
    root.mkdir()
    workspace = Workspace(root)
    write_text(workspace.recipe, yaml.safe_dump(recipe, sort_keys=False))
    return workspace


if __name__ == "__main__":
    sys.exit(main())
