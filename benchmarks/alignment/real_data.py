"""Alignment of a model of ours on real data, from fine-tuning to rewards.

python benchmarks/alignment/real_data.py --base MODEL [--shared FOLDER] [--work FOLDER]
    [--parts supervised preferences rewarded best_of_n] [--supervised-steps 400]
    [--preference-steps 200] [--task-steps 400] [--rewarded-steps 80] [--quick] [--json FILE]

Calls the stages by the command line and measures what came out:

- supervised: dolly_short, prompted_tasks and the beginnings of task_dialogues, trained in full,
  with LoRA and with QLoRA;
- preferences: a reward model and DPO on hh_harmless and pandalm, from the model trained in full;
- rewarded: GRPO and PPO on checkable_tasks, from a model that was taught half of them;
- best_of_n: the expected best reward of n answers.

What the work folder holds already is not made again. For a model of 1 to 5M parameters and a
context of 256 tokens; the number of steps decides how long it takes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from real_parts.bench import Bench, Budgets
from real_parts.preferences import preferences
from real_parts.rewarded import best_of_n, rewarded
from real_parts.supervised import supervised

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
PARTS = {
    "supervised": supervised,
    "preferences": preferences,
    "rewarded": rewarded,
    "best_of_n": best_of_n,
}
QUICK = Budgets(supervised=8, preferences=4, tasks=8, rewarded=3)


def main() -> None:
    """Run the parts that were asked for."""
    arguments = parse_arguments()
    budgets = QUICK if arguments.quick else Budgets(
        arguments.supervised_steps,
        arguments.preference_steps,
        arguments.task_steps,
        arguments.rewarded_steps,
    )  # fmt: skip
    work = (arguments.work or Path(tempfile.mkdtemp(prefix="alignment-"))).resolve()
    bench = Bench(arguments.base.resolve(), arguments.shared.resolve(), work, budgets)
    print(f"results in {work}", flush=True)
    figures: dict[str, Any] = {}
    for name in arguments.parts:
        began = time.monotonic()
        figures[name] = PARTS[name](bench)
        print(f"\n({name}: {time.monotonic() - began:.0f} s)", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(figures, indent=1))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", type=Path, required=True, help="folder of the model")
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder of the data sets")
    parser.add_argument("--work", type=Path, help="where results go; by default a new folder")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--supervised-steps", type=int, default=400)
    parser.add_argument("--preference-steps", type=int, default=200)
    parser.add_argument("--task-steps", type=int, default=400)
    parser.add_argument("--rewarded-steps", type=int, default=80)
    parser.add_argument("--quick", action="store_true", help="a few steps each, as a trial")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
