"""Training throughput on the CPU at equal shape, batch and precision, beside Trainer and LitGPT.

python benchmarks/training/throughput.py [--quick] [--contexts 256 1024]
    [--precisions float32 bfloat16] [--modes eager compiled] [--systems NAME ...] [--json FILE]

About 12M parameters (10.6M in the blocks), Qwen3's shape for all, head tied, 4,096 tokens a step;
rows named -llama leave out the norms of queries and keys. A step is forward, backward, clipping and
AdamW, in each system's own loop: our Loop, transformers' Trainer, litgpt.pretrain.fit. Every system
has a process of its own; blocks of steps are timed in turns and the median of 5 is printed. A block
counts only if other programs used less than 6 % of the machine. The share is of the best plain
matrix product of the same precision, measured in this run. The ratio is to the best peer of the
same context, precision and mode; "best" rows compare the best of both modes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from interleave import System, Timing, WorkerFailedError, time_in_turns
from peers import peers_python
from task import Task

TASK = Task(
    width=384,
    layers=6,
    heads=6,
    feed_forward=1024,
    vocabulary=4096,
    context=256,
    rows=16,
    micro_rows=16,
)
TOKENS_A_STEP = 4096
THREADS = 2
REPEATS = 5
VARIANTS = {
    "ours": ("ours", {}),
    "ours-muon": ("ours", {"optimizer": "muon"}),
    "trainer": ("trainer", {}),
    "litgpt": ("lit", {}),
    "trainer-llama": ("trainer", {"query_key_norm": False}),
    "litgpt-llama": ("lit", {"query_key_norm": False}),
}
"""Module and what differs from the task, by the name in the table."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    context: int
    precision: str
    mode: str
    system: str
    timing: Timing
    tokens_per_second: float
    gflops: float
    share_of_peak: float


def main() -> int:
    """Measure and print; returns the exit code: 1 if a system failed."""
    arguments = parse_arguments()
    peak = json.loads(
        subprocess.check_output(
            [sys.executable, Path(__file__).with_name("matmul_peak.py"), "cpu"],
            env={**os.environ, "OMP_NUM_THREADS": str(THREADS)},
        )
    )
    print(", ".join(f"{name} peak {flops / 1e9:,.0f} GFLOP/s" for name, flops in peak.items()))
    print(
        "| context | precision | mode | system | parameters | tokens/s | spread | GFLOP/s |", end=""
    )
    print(" of peak | to best peer | thrown away |\n|" + " --- |" * 11, flush=True)
    rows, failed = list[Row](), False
    for context in arguments.contexts:
        for precision in arguments.precisions:
            for mode in arguments.modes:
                task = replace(
                    TASK,
                    context=context,
                    rows=TOKENS_A_STEP // context,
                    micro_rows=TOKENS_A_STEP // context,
                    precision=precision,
                    compiled=mode == "compiled",
                    warm_up=1 if arguments.quick else 3,
                    steps=1 if arguments.quick else 3,
                )
                try:
                    timings = measure(task, arguments.systems, arguments.quick)
                except WorkerFailedError as error:
                    print(error, file=sys.stderr)
                    failed = True
                    continue
                for name in (name for name, one in timings.items() if not one.blocks):
                    print(f"{name}: the machine was never quiet", file=sys.stderr)
                    failed = True
                new = [
                    row(task, mode, name, one, peak) for name, one in timings.items() if one.blocks
                ]
                print_rows(new)
                rows += new
    print_best(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in rows], indent=1))
    return 1 if failed else 0


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short block each, also if busy")
    parser.add_argument("--contexts", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--modes", nargs="+", default=["eager", "compiled"])
    parser.add_argument("--systems", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--json", type=Path, help="where to write all figures")
    return parser.parse_args()


def measure(task: Task, names: Iterable[str], quick: bool) -> dict[str, Timing]:
    """All systems on one task."""
    systems = dict[System, Task]()
    for name in names:
        module, changes = VARIANTS[name]
        if module == "ours":
            # As the command line sets it before torch is loaded.
            system = System(name, Path(sys.executable), module, (("GOMP_SPINCOUNT", "2000"),))
        else:
            system = System(name, peers_python(), module)
        systems[system] = replace(task, **changes)
    with tempfile.TemporaryDirectory() as folder:
        return time_in_turns(systems, 1 if quick else REPEATS, THREADS, Path(folder), quick)


def row(task: Task, mode: str, system: str, timing: Timing, peak: dict[str, float]) -> Row:
    """Figures of a timing."""
    speed = task.tokens_per_step / timing.seconds_per_step
    flops = speed * task.flops_per_token
    share = flops / peak[task.precision]
    return Row(task.context, task.precision, mode, system, timing, speed, flops / 1e9, share)


def print_rows(rows: list[Row]) -> None:
    """Lines of the table that belong together."""
    best = max((one.tokens_per_second for one in rows if is_peer(one)), default=float("nan"))
    for one in rows:
        print(
            f"| {one.context} | {one.precision} | {one.mode} | {one.system} "
            f"| {one.timing.parameters / 1e6:.2f}M | {one.tokens_per_second:,.0f} "
            f"| {one.timing.spread:.0%} | {one.gflops:.1f} | {one.share_of_peak:.0%} "
            f"| {one.tokens_per_second / best:.2f} | {one.timing.thrown_away} |",
            flush=True,
        )


def print_best(rows: list[Row]) -> None:
    """Ours in its better mode against the best peer in its better mode."""
    for context, precision in dict.fromkeys((one.context, one.precision) for one in rows):
        group = [one for one in rows if (one.context, one.precision) == (context, precision)]
        ours = [one for one in group if one.system == "ours"]
        peers = [one for one in group if is_peer(one)]
        if ours and peers:
            mine, theirs = (max(part, key=lambda one: one.gflops) for part in (ours, peers))
            print(
                f"context {context}, {precision}: ours {mine.mode} "
                f"{mine.tokens_per_second / theirs.tokens_per_second:.2f} x {theirs.system} "
                f"{theirs.mode}, {mine.share_of_peak:.0%} of peak"
            )


def is_peer(one: Row) -> bool:
    """Whether the row is not ours."""
    return not one.system.startswith("ours")


if __name__ == "__main__":
    raise SystemExit(main())
