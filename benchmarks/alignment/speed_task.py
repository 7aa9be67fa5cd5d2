"""What a system is asked to do, the same for all, and its side of a measurement."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["grpo", "sft", "dpo"]

PROMPTS, GROUP = 2, 8
"""Of a rollout: 16 answers."""
ANSWER_TOKENS = 48
TARGET_CHARACTERS = 1000
"""The reward of an answer falls in a straight line with its distance from this length, which no
answer can reach: so all systems learn not to end one, and have the same number of tokens."""
LEARNING_RATE = 1e-4


@dataclass(frozen=True)
class Task:
    """A kind of training on a model and examples.

    Attributes
    ----------
    kind : str
        What is trained.
    model, examples, folder : str
        Folders: the model to start from, rows in ``train.jsonl``, where results may go.
    rows : int
        Conversations, pairs or answers in an optimizer step.
    context : int
        Most tokens in a sequence, and in a packed row of TRL's.
    packs, adapter : bool
        Whether short conversations share rows; whether LoRA of rank 16 on all linear layers is
        trained instead of the model.
    tuned : bool
        TRL only: our choice of its settings instead of its defaults.
    warm_up, units : int
        Units before the first block; units in a block. A unit of GRPO is an optimizer step with
        its rollout, one of SFT an epoch.
    """

    kind: Kind
    model: str
    examples: str
    folder: str
    rows: int = 16
    context: int = 512
    packs: bool = False
    adapter: bool = False
    tuned: bool = True
    warm_up: int = 1
    units: int = 1

    def to_json(self) -> str:
        """For a worker's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        """What :meth:`to_json` wrote."""
        return cls(**json.loads(text))

    def training_rows(self) -> list[dict[str, object]]:
        """The examples as they stand in the file."""
        text = (Path(self.examples) / "train.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


def length_reward(text: str) -> float:
    """What an answer is worth; ours has the same by its settings."""
    return -min(abs(len(text) - TARGET_CHARACTERS) / TARGET_CHARACTERS, 1.0)


class Blocks:
    """Counts units, and waits for the parent after each block of them.

    The parent reads one JSON object a line from what was standard output; whatever else a system
    prints goes to standard error.
    """

    def __init__(self, task: Task):
        self.task, self.done, self.tokens = task, -task.warm_up, 0
        self.parent = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def add_tokens(self, count: int) -> None:
        """Count tokens that were learnt from or drawn."""
        self.tokens += count

    def unit_done(self) -> None:
        """To be called after every unit.

        Raises
        ------
        SystemExit
            When the parent wants no further block.
        """
        self.done += 1
        if self.done not in (0, self.task.units):
            return
        print(json.dumps({"tokens": self.tokens}), file=self.parent, flush=True)
        if sys.stdin.readline().strip() != "go":
            raise SystemExit(0)
        self.done = self.tokens = 0
