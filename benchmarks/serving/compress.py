"""What compressing a model costs and saves: bytes, bits per byte, tokens/s, by method.

python benchmarks/serving/compress.py MODEL CORPUS FOLDER [HELD_OUT_BYTES [RECOVERY_STEPS]]

MODEL and CORPUS are artifacts or folders as ``modelwright compress`` takes them; the compressed
models go into FOLDER, and a Markdown table to the terminal. Each row is one run of the command; a
row whose model is there already is only read again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from modelwright.cli.main import modelwright

HELD_OUT_BYTES, RECOVERY_STEPS = 65_536, 100
NO_ZEROS = ("magnitude", "--sparsity", "1e-12")
"""Prunes nothing: what the recovery's steps alone bring."""


def main() -> None:
    """Run all methods and print their figures."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    model, corpus, folder = (Path(one) for one in sys.argv[1:4])
    held_out = int(sys.argv[4]) if len(sys.argv) > 4 else HELD_OUT_BYTES
    steps = int(sys.argv[5]) if len(sys.argv) > 5 else RECOVERY_STEPS
    rows = list[tuple[str, dict[str, float]]]()
    for name, arguments in variants(steps).items():
        out = folder / name.replace(" ", "-").replace(":", "of").replace(",", "")
        command = ["compress", "--model", model, "--corpus", corpus, "--out", out]
        command += ["--max-text-bytes", held_out, "--method", *arguments]
        modelwright.main([str(one) for one in command], "modelwright", standalone_mode=False)
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        rows.append((name, manifest["metrics"] | manifest["counts"]))
    print_table(rows)


def variants(steps: int) -> dict[str, tuple[str, ...]]:
    """The method and its settings, by the name in the table."""
    recovery = ("--recovery-steps", str(steps))
    return {
        "int8": ("int8",),
        "int4": ("int4",),
        "int4 gptq": ("int4", "--calibration", "gptq"),
        "int4 awq": ("int4", "--calibration", "awq"),
        "nf4": ("nf4",),
        "magnitude 50 %": ("magnitude",),
        "magnitude 50 %, recovered": ("magnitude", *recovery),
        "2:4": ("2:4",),
        "2:4 wanda": ("2:4", "--calibration", "wanda"),
        "2:4, recovered": ("2:4", *recovery),
        "2:4 wanda, recovered": ("2:4", "--calibration", "wanda", *recovery),
        "float32, same steps": (*NO_ZEROS, *recovery),
    }


def print_table(rows: list[tuple[str, dict[str, float]]]) -> None:
    """One row a method; the model before is the mean of what was measured each time."""
    print("| model | bytes | bits per byte | tokens/s, 1 at once | 16 at once |")
    print("| --- | --- | --- | --- | --- |")
    before = [figures for _, figures in rows]
    means = {
        name: sum(one[f"{name}_before"] for one in before) / len(before)
        for name in ("weight_bytes", "bits_per_byte", "tokens_per_second_1", "tokens_per_second_16")
    }
    for name, figures in [("float32", means), *rows]:
        print(
            f"| {name} | {figures['weight_bytes']:,.0f} | {figures['bits_per_byte']:.4f} "
            f"| {figures['tokens_per_second_1']:,.0f} | {figures['tokens_per_second_16']:,.0f} |"
        )


if __name__ == "__main__":
    main()
