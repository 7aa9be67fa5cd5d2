"""TensorBoard: event files in the artifact's log folder. Show them: ``tensorboard --logdir``."""

from __future__ import annotations

import json
from collections.abc import Mapping

from modelwright.core.errors import MissingExtraError
from modelwright.training.trackers.tracker import TrackedRun

FOLDER = "tensorboard"


class TensorBoardTracker:
    """Writes scalars with their step."""

    run_id = ""

    def __init__(self, run: TrackedRun):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingExtraError("tensorboard", "tensorboard") from None
        folder = run.log / FOLDER
        is_new = not folder.exists()
        # What an earlier part of the run wrote after its checkpoint is not shown.
        self._writer = SummaryWriter(str(folder), purge_step=run.step + 1)
        if is_new:
            settings = json.dumps(dict(run.settings), indent=2, default=str)
            self._writer.add_text("settings", f"```json\n{settings}\n```", 0)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self, is_complete: bool) -> None:
        self._writer.close()
