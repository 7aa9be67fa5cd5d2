"""Weights & Biases: offline in the workspace, unless WANDB_MODE says otherwise."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping

from modelwright.core.errors import MissingExtraError
from modelwright.training.trackers.tracker import TrackedRun


class WandbTracker:
    """Writes rows into a run of its own; ``wandb sync`` sends an offline one."""

    def __init__(self, run: TrackedRun, run_id: str | None):
        mode = os.environ.get("WANDB_MODE", "offline")
        if mode != "online":  # the library reports its own errors over the network
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ImportError:
            raise MissingExtraError("wandb", "wandb") from None
        run.shared.mkdir(parents=True, exist_ok=True)
        self.run_id = run_id or uuid.uuid4().hex[:8]
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or run.project,
            name=run.name,
            id=self.run_id,
            resume="allow",
            config=dict(run.settings),
            dir=os.environ.get("WANDB_DIR") or str(run.shared),
            mode=mode,
            reinit="create_new",
            # Metrics only: no console output, source code, git address or machine statistics.
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                save_code=False,
                x_disable_stats=True,
                x_disable_meta=True,
            ),
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, is_complete: bool) -> None:
        self._run.finish(exit_code=0 if is_complete else 1)
