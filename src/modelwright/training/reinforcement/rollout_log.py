"""Some answers of every rollout with their rewards, for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelwright.core.log_rows import append_row, forget_rows_after
from modelwright.training.reinforcement.prompts import Prompt
from modelwright.training.reinforcement.rollout import Rollout

FILE = "rollouts.jsonl"
MOST = 16
"""Answers of each rollout that are written: whole groups, at least one."""


class RolloutLog:
    """Appends rows to a file; a rollout that is made again replaces its rows.

    Parameters
    ----------
    path : Path
        The file.
    prompts : sequence of Prompt
        All there are.
    """

    def __init__(self, path: Path, prompts: Sequence[Prompt]):
        self.path, self.prompts = path, prompts
        self._is_new = True

    def __call__(self, rollout: Rollout) -> None:
        """Write a rollout's first groups."""
        if self._is_new:
            forget_rows_after(self.path, rollout.number - 1)
            self._is_new = False
        rewards = rollout.rewards.flatten().tolist()
        groups = max(1, MOST // rollout.group)
        for index, answer in enumerate(rollout.answers[: groups * rollout.group]):
            row = {
                "prompt": self.prompts[answer.prompt].text,
                "answer": answer.text,
                "finished": answer.is_finished,
                "reward": rewards[index] if rewards[index] == rewards[index] else None,
                **{f"reward_{name}": values[index] for name, values in rollout.parts.items()},
            }
            append_row(self.path, rollout.number, row)
