"""Training on a GPU beside Trainer and LitGPT: speed, memory, cold start; then novels in minutes.

python benchmarks/training/gpu.py [--parts throughput novels] [--sizes 124M 1B] [--systems NAME ...]
    [--minutes 3 5] [--device cuda|cpu] [--python PATH] [--shared PATH] [--quick] [--json FILE]

Throughput: a model of GPT-2's size and one of about 1B parameters, Qwen3's shape for all, head
tied, bfloat16, 2,048 tokens in a sequence, everything compiled. A step is forward, backward,
clipping and AdamW (ours also with Muon, and with the blocks in float8) in each system's own loop,
on random tokens. One process after the other has the card; the median of 5 blocks of steps is
printed, and its ratio to the best peer. MFU is of NVIDIA's figure for Hopper without sparsity
(Chowdhery et al. 2022, arXiv:2204.02311, appendix B, say how it is counted), "of product" of the
fastest plain product in bfloat16 that was measured here; so are those of float8. Memory is the most
that tensors took. Cold start is from the start of the process to the end of the tenth step, with no
kernel compiled before. Micro-batches are as large as a table says, and halved until they fit.

Novels: bits per byte of held-out books after so many minutes (equal_time.py).

A peer that cannot be imported is left out, and that is said. --quick is to try the program out:
tiny models, a few chapters.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import equal_time
import torch
from books import write_split
from interleave import System, Timing, WorkerFailedError, time_in_turns
from peers import peers_python, why_not
from task import Task

HOPPER_FLOPS = 989.4e12
"""Operations a second in bfloat16 of an H100 or H200 (SXM) without sparsity, by its data sheet."""

LARGE_CARD = 120e9
"""Bytes of memory from which micro-batches are twice those of a card of 80 GB."""

REPEATS, THREADS = 5, 2

TASKS = {
    "124M": Task(
        width=768,
        layers=12,
        heads=12,
        feed_forward=2048,
        vocabulary=50304,
        context=2048,
        rows=64,
        micro_rows=16,
        steps=5,
    ),
    "1B": Task(
        width=2048,
        layers=18,
        heads=16,
        feed_forward=5632,
        vocabulary=32768,
        context=2048,
        rows=32,
        micro_rows=8,
        steps=2,
    ),
}
"""Micro-batches are those of a card of 80 GB."""

TINY = Task(
    width=128,
    layers=2,
    heads=2,
    feed_forward=256,
    vocabulary=512,
    context=64,
    rows=8,
    micro_rows=4,
    steps=1,
)

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "trainer": ("trainer", {}),
    "litgpt": ("lit", {}),
    "ours": ("ours", {}),
    "ours-muon": ("ours", {"optimizer": "muon"}),
    "ours-float8": ("ours", {"precision": "float8"}),
}
"""Module and what differs from the task, by the name in the table; the peers are measured first."""

COLUMNS = (
    "model",
    "system",
    "parameters",
    "micro-batch",
    "tokens/s",
    "spread",
    "MFU",
    "of product",
    "memory",
    "cold start",
    "to best peer",
)


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    size, system : str
        What was trained by whom.
    task : Task
        As it was asked in the end.
    timing : Timing
        What was measured.
    tokens_per_second : float
        Median over blocks.
    product_flops : float
        Operations a second of the fastest plain product.
    """

    size: str
    system: str
    task: Task
    timing: Timing
    tokens_per_second: float
    product_flops: float

    @property
    def flops(self) -> float:
        """Operations a second."""
        return self.tokens_per_second * self.task.flops_per_token


def main() -> int:
    """Measure and print; returns the exit code: 1 if a system failed."""
    arguments = parse_arguments()
    python = peers_python(arguments.python)
    systems = [name for name in VARIANTS if name in arguments.systems and can_run(name, python)]
    rows, results, failed = list[Row](), list[tuple[float, equal_time.Result]](), False
    print(f"{described(arguments.device)}, torch {torch.__version__}")
    if "throughput" in arguments.parts:
        rows = throughput(arguments, systems, python)
        failed |= len(rows) < len(systems) * len(arguments.sizes)
    if "novels" in arguments.parts:
        names = [name for name in systems if name in ("trainer", "litgpt", "ours")]
        results = novels(arguments, names, python)
        failed |= len(results) < len(names) * len(arguments.minutes)
    if arguments.json:
        figures = {
            "throughput": [asdict(one) for one in rows],
            "novels": [{"minutes": minutes, **asdict(one)} for minutes, one in results],
        }
        arguments.json.write_text(json.dumps(figures, indent=1))
    return 1 if failed else 0


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parts = ("throughput", "novels")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--sizes", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--systems", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--minutes", type=float, nargs="+", default=[3.0, 5.0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--python", type=Path, help="the peers' Python; else one is made")
    parser.add_argument("--shared", type=Path, default=equal_time.SHARED, help="has the novels")
    parser.add_argument(
        "--quick", action="store_true", help="tiny models and little text, one short block"
    )
    parser.add_argument("--json", type=Path, help="where to write all figures")
    return parser.parse_args()


def can_run(name: str, peers: Path) -> bool:
    """Whether a system can be imported; says why if not."""
    module, _ = VARIANTS[name]
    reason = why_not(python_of(module, peers), f"systems.{module}")
    if reason:
        print(f"{name} is left out: {reason}", file=sys.stderr)
    return not reason


def python_of(module: str, peers: Path) -> Path:
    """The Python that runs a system."""
    return Path(sys.executable) if module == "ours" else peers


def described(device: str) -> str:
    """The card, and the memory it has."""
    if device == "cpu":
        return "CPU"
    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, {properties.total_memory / 1e9:.0f} GB"


def throughput(arguments: argparse.Namespace, systems: Iterable[str], peers: Path) -> list[Row]:
    """All systems on all sizes, printed as they come."""
    command = [sys.executable, Path(__file__).with_name("matmul_peak.py"), arguments.device]
    product_flops: float = json.loads(subprocess.check_output(command))["bfloat16"]
    print(f"fastest product in bfloat16: {product_flops / 1e12:.3g} TFLOP/s\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}", flush=True)
    rows = list[Row]()
    for size in arguments.sizes:
        for name in systems:
            try:
                task, timing = timed(name, task_of(size, arguments), peers, arguments.quick)
            except WorkerFailedError as error:
                print(error, file=sys.stderr)
                continue
            speed = task.tokens_per_step / timing.seconds_per_step
            label = f"{size}, tiny" if arguments.quick else size
            rows.append(Row(label, name, task, timing, speed, product_flops))
            print(line(rows[-1], best_peer(rows, label)), flush=True)
    print()
    return rows


def task_of(size: str, arguments: argparse.Namespace) -> Task:
    """What to train on this device."""
    task = replace(TINY if arguments.quick else TASKS[size], precision="bfloat16", warm_up=10)
    if arguments.device == "cpu":
        return task
    is_large = torch.cuda.get_device_properties(0).total_memory > LARGE_CARD
    return replace(
        task, device="cuda", compiled=True, micro_rows=task.micro_rows * (2 if is_large else 1)
    )


def timed(name: str, task: Task, peers: Path, quick: bool) -> tuple[Task, Timing]:
    """One system, with the largest micro-batch that fits.

    Raises
    ------
    WorkerFailedError
        If it ends early, and not for want of memory.
    """
    module, changes = VARIANTS[name]
    task = replace(task, **changes)
    while True:
        with tempfile.TemporaryDirectory() as folder:
            compiled = (("TORCHINDUCTOR_CACHE_DIR", f"{folder}/compiled"),)
            system = System(name, python_of(module, peers), module, compiled)
            repeats = 1 if quick else REPEATS
            try:
                timings = time_in_turns({system: task}, repeats, THREADS, Path(folder), True)
            except WorkerFailedError as error:
                if "OutOfMemoryError" not in str(error) or task.micro_rows == 1:
                    raise
                task = replace(task, micro_rows=task.micro_rows // 2)
            else:
                return task, timings[name]


def best_peer(rows: Iterable[Row], size: str) -> float:
    """Tokens a second of the fastest peer so far."""
    peers = (one for one in rows if one.size == size and not is_ours(one))
    return max((one.tokens_per_second for one in peers), default=float("nan"))


def is_ours(row: Row) -> bool:
    """Whether it is not a peer's."""
    return row.system.startswith("ours")


def line(row: Row, peer: float) -> str:
    """A row as it is printed; peers come before what is compared with them."""
    # A CPU has no nominal rate that we know.
    mfu = f"{row.flops / HOPPER_FLOPS:.1%}" if row.task.device == "cuda" else "-"
    cells = (
        row.size,
        row.system,
        f"{row.timing.parameters / 1e6:.1f}M",
        f"{row.task.micro_rows} of {row.task.rows}",
        f"{row.tokens_per_second:,.0f}",
        f"{row.timing.spread:.1%}",
        mfu,
        f"{row.flops / row.product_flops:.1%}",
        f"{row.timing.peak_bytes / 1e9:.1f} GB",
        f"{row.timing.cold_seconds:.1f} s",
        f"{row.tokens_per_second / peer:.2f}" if is_ours(row) else "",
    )
    return f"| {' | '.join(cells)} |"


def novels(
    arguments: argparse.Namespace, systems: Iterable[str], peers: Path
) -> list[tuple[float, equal_time.Result]]:
    """Minutes and what was reached in them, printed as they come; systems that failed are not."""
    print("| minutes | system | parameters | tokens | seconds | bits per byte |")
    print("|" + " --- |" * 6, flush=True)
    recipe = equal_time.best_recipe(arguments.device)
    results = list[tuple[float, equal_time.Result]]()
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        write_split(arguments.shared, data)
        test = data / "test.jsonl"
        if arguments.quick:  # a few chapters, learnt and scored: reading all takes a minute
            test = (data / "tuning.jsonl").replace(data / "train" / "novels.jsonl")
        for minutes in arguments.minutes:
            setting = equal_time.Setting(minutes, arguments.device, peers, data / "train", test)
            for system in systems:
                try:
                    result = equal_time.reached(system, recipe, setting)
                except subprocess.CalledProcessError as error:
                    print(f"{system}: {error}", file=sys.stderr)
                    continue
                results.append((minutes, result))
                print(
                    f"| {minutes:g} | {system} | {result.details['parameters'] / 1e6:.1f}M "
                    f"| {result.details['tokens']:,} | {result.seconds:.1f} "
                    f"| {result.bits_per_byte:.4f} |",
                    flush=True,
                )
    return results


if __name__ == "__main__":
    raise SystemExit(main())
