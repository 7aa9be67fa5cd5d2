"""How near the memory that is expected before a training comes to its peak.

python benchmarks/training/memory.py

Each configuration runs the training's own ``fit`` on random tokens for a few steps, in a fresh
process, and prints what the manifest would hold.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """A model, a micro-batch, and what else changes the memory."""

    width: int
    layers: int
    context: int
    rows: int
    optimizer: str = "muon"
    precision: str = "float32"
    recompute: bool = False
    compiled: bool = False
    averaging: bool = False
    steps: int = 3


CASES = (
    Case(128, 3, 256, 8, steps=6),
    Case(256, 4, 256, 16),
    Case(256, 4, 256, 16, "adamw", averaging=True),
    Case(256, 4, 256, 16, recompute=True),
    Case(256, 4, 256, 16, precision="bfloat16"),
    Case(256, 4, 256, 16, compiled=True),
    Case(256, 4, 1024, 4),
    Case(384, 6, 256, 8, recompute=True),
    Case(384, 6, 256, 16, "adamw"),
    Case(384, 6, 1024, 4, compiled=True),
    Case(512, 8, 256, 4),
)
VOCABULARY = 4096


def main() -> None:
    """Print a table."""
    print("| parameters | context x rows | optimizer | | expected | peak | peak is |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        command = [sys.executable, __file__, json.dumps(asdict(case))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        expected, peak = found["expected_memory_bytes"], found["peak_memory_bytes"]
        print(
            f"| {found['parameters'] / 1e6:.1f}M | {case.context} x {case.rows} | "
            f"{case.optimizer} | {_words(case)} | {expected >> 20:,} MiB | {peak >> 20:,} MiB | "
            f"{peak / expected - 1:+.1%} |",
            flush=True,
        )


def _words(case: Case) -> str:
    flags = {
        "bfloat16": case.precision == "bfloat16",
        "recomputed": case.recompute,
        "compiled": case.compiled,
        "averaged": case.averaging,
    }
    return ", ".join(word for word, is_set in flags.items() if is_set)


def train(case: Case) -> None:
    """Fit one model; prints its figures as JSON."""
    from modelwright.core.job import Job
    from modelwright.core.progress import LineProgress
    from modelwright.models.config import TransformerConfig
    from modelwright.models.transformer import CausalLM, initialise
    from modelwright.training.fit import fit
    from modelwright.training.objectives.next_token import next_token
    from modelwright.training.settings import PretrainSettings
    from modelwright.training.timing import RandomBatches

    heads = case.width // 64
    config = TransformerConfig(
        vocab_size=VOCABULARY,
        hidden_size=case.width,
        intermediate_size=3 * case.width,
        num_hidden_layers=case.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2 if heads % 2 == 0 else heads,
        max_position_embeddings=case.context,
    )
    settings = PretrainSettings.model_validate(
        {
            "budget": f"{case.steps} steps",
            "learning_rate": 1e-3,
            "matrix_learning_rate": 1e-3,
            "optimizer": case.optimizer,
            "precision": case.precision,
            "compile": case.compiled,
            "recompute_activations": case.recompute,
            "averaging": "exponential" if case.averaging else None,
            "checkpoint_seconds": 1e6,
        }
    )
    model = CausalLM(config)
    initialise(model, seed=0)
    batches = RandomBatches(VOCABULARY, case.context, case.rows, case.rows)
    with tempfile.TemporaryDirectory() as name:
        job = Job(settings, {}, Path(name), LineProgress())
        began = time.monotonic()
        fitted = fit(
            job, settings, model, next_token, batches, dict, 0, config.flops_per_token(case.context)
        )
    print(f"  {time.monotonic() - began:.1f} s", file=sys.stderr)
    print(json.dumps({"parameters": config.parameter_count(), **fitted.memory}))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        train(Case(**json.loads(sys.argv[1])))
    else:
        main()
