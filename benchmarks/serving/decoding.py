"""Tokens per CPU-second of the engine, llama.cpp and transformers' generate, side by side.

python benchmarks/serving/decoding.py [--sizes 13m 100m] [--texts 1 32] [--threads 1 2]
    [--systems NAME ...] [--llama-cpp PYTHON] [--repeats 5] [--folder FOLDER]

Random weights in Qwen3's shape, vocabulary 32,000, head tied; "13m" has 6 layers of width 256,
"100m" 12 of 768. Decoding: 64 tokens after a prompt of 16, greedy, prompt included in the time;
prefill: a prompt of 512 and one token. Every system has a process of its own; blocks are timed in
turns, and the median of 5 is printed. CPU-seconds are those of all threads of the process. GB/s
counts each weight that a step of one text reads once (one text only); the first line says what a
plain sum of 1 GB reads in this run, on the same number of threads.

llama.cpp needs ``pip install llama-cpp-python==0.3.36 gguf`` in an environment of its own, and its
files are made by ``modelwright export``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from modelwright.models.config import TransformerConfig
from modelwright.models.pretrained import save_model
from modelwright.models.transformer import CausalLM
from modelwright.tokens.train import train_tokenizer

SYSTEMS = Path(__file__).parent / "systems"
TEXT = Path(__file__).read_text() * 40
SIZES = {
    "13m": {
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
    },
    "100m": {
        "hidden_size": 768,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
    },
}
BITS = {"float32": 32, "bfloat16": 16, "int8": 8, "int4": 5, "bf16": 16, "q8_0": 8.5, "q4_0": 4.5}
"""A weight's, scales included; our int4 has a scale of 32 bits for 32 weights."""


@dataclass(frozen=True)
class System:
    """A line of the table: what runs, and in which format the weights are."""

    name: str
    module: str
    kind: str


ALL_SYSTEMS = [
    *(System(f"ours {kind}", "ours", kind) for kind in ("float32", "bfloat16", "int8", "int4")),
    System("ours pytorch", "ours", "model"),
    *(System(f"llama.cpp {kind}", "llama_cpp_generate", kind) for kind in ("bf16", "q8_0", "q4_0")),
    System("transformers bfloat16", "transformers_generate", "bfloat16"),
    System("transformers float32", "transformers_generate", "float32"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip  # noqa: E501
    parser.add_argument("--sizes", nargs="+", default=list(SIZES))
    parser.add_argument("--texts", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--systems", nargs="+", help="beginnings of names")
    parser.add_argument("--llama-cpp", type=Path, help="the Python that has it")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="keep models there")
    given = parser.parse_args()
    systems = [
        system
        for system in ALL_SYSTEMS
        if (given.llama_cpp or not system.name.startswith("llama"))
        and (not given.systems or system.name.startswith(tuple(given.systems)))
    ]
    with tempfile.TemporaryDirectory() as scratch:
        root = given.folder or Path(scratch)
        for size in given.sizes:
            make_model(root / size, size)
            for system in systems:
                if system.module.startswith("llama"):
                    export(root / size, system.kind)
            for threads in given.threads:
                print(f"\n{size}, {threads} thread(s): memory read {read_rate(threads):.1f} GB/s")
                for texts in given.texts:
                    table(root / size, systems, given, texts, 16, 64, threads)
                table(root / size, systems, given, 1, 512, 1, threads)


def make_model(folder: Path, size: str, context: int = 1024) -> None:
    if (folder / "model.safetensors").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    train_tokenizer(TEXT.splitlines(), 1024, folder)
    model = CausalLM(
        TransformerConfig(vocab_size=32_000, max_position_embeddings=context, **SIZES[size])
    )
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.02)
            else:
                parameter.fill_(1)
    save_model(model, folder)


def export(folder: Path, kind: str) -> Path:
    out = folder.with_name(f"{folder.name}-{kind}")
    if not out.is_dir():
        command = [sys.executable, "-m", "modelwright", "export", str(folder), "--to", "gguf"]
        subprocess.run([*command, "--type", kind, "--out", str(out)], check=True)
    return next(out.glob("*.gguf"))


def table(
    folder: Path,
    systems: list[System],
    given: argparse.Namespace,
    texts: int,
    prompt: int,
    answer: int,
    threads: int,
) -> None:
    what = f"prefill {prompt}" if answer == 1 else f"{texts} text(s)"
    counted = prompt if answer == 1 else answer
    print(f"{what:<26}{'per CPU-s':>12}{'per s':>10}{'GB/s':>8}")
    with ExitStack() as stack:
        workers = {}
        for system in systems:
            place = folder
            if system.module.startswith("llama"):
                place = next(folder.with_name(f"{folder.name}-{system.kind}").glob("*.gguf"))
            work = {
                "folder": str(place),
                "kind": system.kind,
                "texts": texts,
                "prompt": prompt,
                "answer": answer,
                "threads": threads,
            }
            workers[system] = stack.enter_context(started(system, work, given.llama_cpp))
        rates: dict[System, list[tuple[float, float]]] = {system: [] for system in systems}
        for _ in range(given.repeats):
            for system, worker in workers.items():
                found = ask(worker)
                tokens = texts * counted
                rates[system].append((tokens / found["cpu"], tokens / found["wall"]))
        for system in systems:
            by_cpu, by_wall = (median(column) for column in zip(*rates[system], strict=True))
            read = ""
            if texts == 1 and answer > 1 and system.kind in BITS:
                read = f"{by_wall * matrix_weights(folder) * BITS[system.kind] / 8e9:8.1f}"
            print(f"{system.name:<26}{by_cpu:12.0f}{by_wall:10.0f}{read}", flush=True)


def started(system: System, work: dict[str, object], llama_cpp: Path | None) -> subprocess.Popen:
    python = llama_cpp if system.module.startswith("llama") else sys.executable
    worker = subprocess.Popen(
        [str(python), str(SYSTEMS / f"{system.module}.py"), json.dumps(work)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(int(work["threads"])),
    )
    assert worker.stdout is not None
    while (line := worker.stdout.readline()) != "ready\n":
        if not line:
            raise SystemExit(f"{system.name} did not start; run its module alone to see why")
    return worker


def environment(threads: int) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}


def ask(worker: subprocess.Popen) -> dict[str, float]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()
    while not (line := worker.stdout.readline()).startswith("{"):
        if not line:
            raise SystemExit("a system ended before it was asked to")
    return json.loads(line)


def matrix_weights(folder: Path) -> int:
    config = json.loads((folder / "config.json").read_text())
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")
    width, inner, layers, vocabulary = (config[key] for key in keys)
    queries = config["num_attention_heads"] * config["head_dim"]
    shared = config["num_key_value_heads"] * config["head_dim"]
    return layers * width * (2 * queries + 2 * shared + 3 * inner) + vocabulary * width


def read_rate(threads: int) -> float:
    """Bytes a second of a plain sum, in GB/s."""
    torch.set_num_threads(threads)
    numbers = torch.ones(250_000_000)
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        numbers.sum()
        best = max(best, numbers.nbytes / (time.perf_counter() - began) / 1e9)
    return best


if __name__ == "__main__":
    main()
