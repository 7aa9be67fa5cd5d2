"""Trackio: a SQLite file in the workspace, unless its environment variables name a server."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout

from modelwright.core.errors import MissingExtraError
from modelwright.training.trackers.tracker import TrackedRun

FOLDER = "trackio"
REMOTE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


class TrackioTracker:
    """Writes rows under the run's name, in which it also goes on."""

    def __init__(self, run: TrackedRun, run_id: str | None):
        # Read when the package is imported.
        os.environ.setdefault("TRACKIO_DIR", str((run.shared / FOLDER).absolute()))
        try:
            import trackio
        except ImportError:
            raise MissingExtraError("trackio", "trackio") from None
        self.run_id = run.name
        with _without_network(), redirect_stdout(io.StringIO()):
            self._run = trackio.init(
                project=run.project,
                name=run.name,
                config=dict(run.settings),
                resume="never" if run_id is None else "allow",
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, is_complete: bool) -> None:
        with redirect_stdout(io.StringIO()):
            self._run.finish()


@contextmanager
def _without_network() -> Iterator[None]:
    """Keep Trackio from asking the Hugging Face Hub for the name of whoever is logged in."""
    from huggingface_hub import constants

    if any(os.environ.get(name) for name in REMOTE):
        yield
        return
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
