"""Saves for resume, and stops when that was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable

from modelwright.training.callbacks.callback import StepReport
from modelwright.training.checkpoint import TrainState
from modelwright.training.interrupts import StopRequest


class Checkpointing:
    """Saves every so many seconds, and before stopping when that was asked for.

    Parameters
    ----------
    interval : float
        Seconds between two checkpoints.
    save : callable
        Saves a state; may go on in the background.
    finish : callable
        Waits until what was saved last is on disk.
    stop : StopRequest
        Whether someone asked to stop.
    """

    def __init__(
        self,
        interval: float,
        save: Callable[[TrainState], None],
        finish: Callable[[], None],
        stop: StopRequest,
    ):
        self.interval, self.save, self.finish, self.stop = interval, save, finish, stop
        self.saved = time.monotonic()

    def __call__(self, state: TrainState, report: StepReport) -> None:
        """Save if it is due.

        Raises
        ------
        KeyboardInterrupt
            After saving, if the run was asked to stop.
        """
        is_due = time.monotonic() - self.saved >= self.interval and not state.horizon.is_over
        if is_due or self.stop.is_asked:
            self.save(state)
            self.saved = time.monotonic()
        if self.stop.is_asked:
            self.finish()
            raise KeyboardInterrupt
