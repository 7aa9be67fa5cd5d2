"""A worker's side of a measurement: stop after every block of steps, go on when told.

The parent reads one JSON object a line from what was standard output; whatever else a system
prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time

import torch
from task import Task


class Blocks:
    """Counts steps, times blocks of them and waits between blocks.

    Parameters
    ----------
    task : Task
        Says how many steps there are in a block, and before the first.
    parameters : int
        Size of the model, told to the parent.
    """

    def __init__(self, task: Task, parameters: int):
        self.task, self.parameters = task, parameters
        self.steps = -task.warm_up
        self.began = 0.0
        self.parent = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def step_done(self) -> None:
        """To be called after every optimizer step.

        Raises
        ------
        SystemExit
            When the parent wants no further block.
        """
        self.steps += 1
        if self.steps == 0:
            self._wait()
            self._tell({"ready": True, "parameters": self.parameters})
            self._next_block()
        elif self.steps == self.task.steps:
            self._wait()
            seconds = time.perf_counter() - self.began
            self._tell({"seconds": seconds, "peak_bytes": self._peak_bytes()})
            self._next_block()

    def _next_block(self) -> None:
        if sys.stdin.readline().strip() != "go":
            raise SystemExit(0)
        self.steps, self.began = 0, time.perf_counter()

    def _tell(self, message: dict[str, object]) -> None:
        print(json.dumps(message), file=self.parent, flush=True)

    def _wait(self) -> None:
        if self.task.device == "cuda":
            torch.cuda.synchronize()

    def _peak_bytes(self) -> int:
        return torch.cuda.max_memory_allocated() if self.task.device == "cuda" else 0
