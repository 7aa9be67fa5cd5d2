"""Alignment on the CPU beside TRL: GRPO, SFT, LoRA, and the time to a first step.

python benchmarks/alignment/speed.py [--quick] [--parts grpo sft lora cold] [--threads 2]
    [--python PATH] [--json FILE]

The same random model of about 5M parameters (Qwen3's shape), examples, lengths and group size for
all, float32. Every system has a process of its own; blocks are timed in turns, in CPU-seconds of
the process and its children, and the median of 5 is printed. GRPO draws 2 x 8 answers of at most 48
tokens and takes one step for each rollout; SFT goes through 192 conversations, of which 16 (packed:
about as many tokens) are a step. ``trl`` has the settings that make it fastest here,
``trl-default`` those that it comes with. A cold start is timed from the start of the process until
its first optimizer step is done, with 256 examples: ours by the command line, TRL by its trainer.
--python names a Python with TRL 1.16.0; without it this one is taken, or an environment is made.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))

from environments import environment
from speed_data import CONTEXT, write_examples, write_model
from speed_task import ANSWER_TOKENS, GROUP, LEARNING_RATE, PROMPTS, TARGET_CHARACTERS, Kind, Task
from speed_workers import ColdStart, System, Timing, WorkerFailedError, cold_start, time_in_turns

REQUIREMENTS = (
    "torch==2.13.0",
    "transformers==5.23.0",
    "trl==1.16.0",
    "peft==0.21.2",
    "psutil==7.2.2",
)
REPEATS = 5
CONVERSATIONS, OTHERS = 192, 256
PARTS = ("grpo", "sft", "lora", "cold")
SPEEDS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "grpo": (("GRPO", {"kind": "grpo", "units": 10, "warm_up": 2}),),
    "sft": (("SFT", {"kind": "sft"}), ("SFT packed", {"kind": "sft", "packs": True})),
    "lora": (
        ("LoRA", {"kind": "sft", "adapter": True}),
        ("LoRA packed", {"kind": "sft", "adapter": True, "packs": True}),
    ),
}
"""What is timed in each part, and how its task differs."""


@dataclass(frozen=True)
class Bench:
    """Folders, and how to measure."""

    folder: Path
    peers: Path
    threads: int
    repeats: int
    quick: bool

    def task(self, kind: Kind, **changes: Any) -> Task:
        """A task of that kind."""
        model, examples = self.folder / "model", self.folder / kind
        task = Task(kind, str(model), str(examples), "", context=CONTEXT)
        if self.quick and "units" in changes:
            changes |= {"units": 2, "warm_up": 1}
        return replace(task, **changes)

    def empty(self, name: str) -> Path:
        """A new folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))


def main() -> int:
    """Measure and print; returns the exit code: 1 if a system failed."""
    arguments = parse_arguments()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(
            Path(name),
            peers_python(arguments.python),
            arguments.threads,
            1 if arguments.quick else arguments.repeats,
            arguments.quick,
        )
        parameters = write_model(bench.folder / "model")
        write_examples(bench.folder, 32 if bench.quick else CONVERSATIONS, OTHERS)
        print(f"{parameters / 1e6:.2f}M parameters, float32, {bench.threads} threads\n")
        try:
            if any(part in SPEEDS for part in arguments.parts):
                found["speeds"] = speeds(bench, arguments.parts)
            if "cold" in arguments.parts:
                found["cold"] = cold_starts(bench)
        except WorkerFailedError as error:
            print(error, file=sys.stderr)
            return 1
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    return 0


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short block each")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--python", type=Path, help="a Python with TRL")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    return parser.parse_args()


def peers_python(given: Path | None) -> Path:
    """The Python that runs TRL."""
    if given is not None:
        return given
    here = Path(sys.executable)
    has_trl = subprocess.run([here, "-c", "import trl, peft"], capture_output=True).returncode == 0
    return here if has_trl else environment("alignment", REQUIREMENTS)


def speeds(bench: Bench, parts: list[str]) -> list[dict[str, Any]]:
    """Print the table of speeds; returns its figures."""
    print("| | system | tokens/CPU-s | spread | tokens/s | CPU-s a step or epoch | ours is |")
    print("|" + " --- |" * 7, flush=True)
    rows = []
    for part in parts:
        for name, changes in SPEEDS.get(part, ()):
            timings = timings_of(bench, changes)
            ours = timings["ours"].tokens_per_cpu_second
            for system, timing in timings.items():
                ratio = ours / timing.tokens_per_cpu_second
                print(
                    f"| {name} | {system} | {timing.tokens_per_cpu_second:,.0f} "
                    f"| {timing.spread:.0%} | {timing.tokens_per_second:,.0f} "
                    f"| {timing.cpu_seconds_per_unit:.3f} "
                    f"| {'' if system == 'ours' else f'{ratio:.2f} x'} |",
                    flush=True,
                )
                rows.append({"name": name, "system": system, **asdict(timing)})
    return rows


def timings_of(bench: Bench, changes: dict[str, Any]) -> dict[str, Timing]:
    """All systems on one task."""
    systems = dict[System, Task]()
    for name, python, module, tuned in (
        ("ours", Path(sys.executable), "ours", True),
        ("trl", bench.peers, "trl_trainers", True),
        ("trl-default", bench.peers, "trl_trainers", False),
    ):
        folder = str(bench.empty(name))
        task = replace(bench.task(**changes), folder=folder, tuned=tuned)
        systems[System(name, python, module)] = task
    return time_in_turns(systems, bench.repeats, bench.threads, bench.folder)


def cold_starts(bench: Bench) -> list[dict[str, Any]]:
    """Print the table of cold starts; returns its figures."""
    print("\n| to the first step | system | seconds | CPU-s | peak memory | ours takes |")
    print("|" + " --- |" * 6, flush=True)
    rows = []
    for kind in ("sft", "dpo", "grpo"):
        runs: dict[str, list[ColdStart]] = {"ours": [], "trl": [], "trl-default": []}
        for _ in range(bench.repeats):
            runs["ours"].append(cold_ours(bench, kind))
            runs["trl"].append(cold_trl(bench, kind, tuned=True))
            runs["trl-default"].append(cold_trl(bench, kind, tuned=False))
        middle = {name: middle_of(starts) for name, starts in runs.items()}
        for name, one in middle.items():
            print(
                f"| {kind.upper()} | {name} | {one.seconds:.2f} | {one.cpu_seconds:.2f} "
                f"| {one.peak_bytes / 1e6:,.0f} MB | {_shares(middle['ours'], one, name)} |",
                flush=True,
            )
            rows.append({"kind": kind, "system": name, "starts": [asdict(a) for a in runs[name]]})
    return rows


def _shares(ours: ColdStart, other: ColdStart, name: str) -> str:
    if name == "ours":
        return ""
    return (
        f"{ours.seconds / other.seconds:.0%} of the time, "
        f"{ours.peak_bytes / other.peak_bytes:.0%} of the memory"
    )


def middle_of(starts: list[ColdStart]) -> ColdStart:
    """Medians."""
    return ColdStart(
        median(one.seconds for one in starts),
        median(one.cpu_seconds for one in starts),
        round(median(one.peak_bytes for one in starts)),
    )


def cold_ours(bench: Bench, kind: Kind) -> ColdStart:
    """Ours, by the command line."""
    task, folder = bench.task(kind), bench.empty(f"ours-{kind}")
    rate = f"{LEARNING_RATE:g}"
    command: list[str | Path] = [sys.executable, "-m", "modelwright"]
    command += ["finetune" if kind == "sft" else "align"]
    command += ["--base", task.model, "--examples", task.examples, "--out", folder]
    command += ["--budget", "1 steps", "--batch-rows", str(task.rows), "--optimizer", "adamw"]
    command += ["--precision", "float32", "--device", "cpu"]
    command += ["--learning-rate", rate, "--matrix-learning-rate", rate]
    if kind != "sft":
        command += ["--method", kind]
    if kind == "grpo":
        reward = f"{{kind: length, target: {TARGET_CHARACTERS}, unit: characters}}"
        command += ["--prompts", str(PROMPTS), "--group", str(GROUP), "--reward", reward]
        command += ["--answer-tokens", str(ANSWER_TOKENS)]
    return cold_start(command, folder, "training.jsonl", bench.threads)


def cold_trl(bench: Bench, kind: Kind, tuned: bool) -> ColdStart:
    """TRL, by its trainer."""
    folder = bench.empty(f"trl-{kind}")
    task = replace(bench.task(kind), folder=str(folder), tuned=tuned)
    command = [bench.peers, "-m", "speed_systems.trl_trainers", task.to_json(), "cold"]
    return cold_start(command, folder, "first_step", bench.threads)


if __name__ == "__main__":
    raise SystemExit(main())
