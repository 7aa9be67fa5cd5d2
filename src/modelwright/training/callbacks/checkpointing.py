"""Saves for resume, and stops when that was asked for."""

from __future__ import annotations

from collections.abc import Callable

from modelwright.training.checkpoint import TrainState
from modelwright.training.interrupts import StopRequest
from modelwright.training.parallel.world import ALONE, World


class Checkpointing:
    """Saves every so many seconds, and before stopping when that was asked for.

    Parameters
    ----------
    interval : float
        Seconds of training between two checkpoints. The run's own clock is read, which is the
        same in every process, so that all save after the same step.
    save : callable
        Saves a state; may go on in the background.
    finish : callable
        Waits until what was saved last is on disk.
    stop : StopRequest
        Whether someone asked this process to stop.
    state : TrainState
        Where the run begins.
    world : World
        The processes that save together.
    """

    def __init__(
        self,
        interval: float,
        save: Callable[[TrainState], None],
        finish: Callable[[], None],
        stop: StopRequest,
        state: TrainState,
        world: World = ALONE,
    ):
        self.interval, self.save, self.finish = interval, save, finish
        self.stop, self.world = stop, world
        self.saved = state.horizon.seconds

    def __call__(self, state: TrainState) -> None:
        """Save if it is due.

        Raises
        ------
        KeyboardInterrupt
            After saving, if any process was asked to stop.
        """
        now = state.horizon.seconds
        is_due = now - self.saved >= self.interval and not state.is_over
        (asked,) = self.world.sum(float(self.stop.is_asked))
        if is_due or asked:
            self.save(state)
            self.saved = now
        if asked:
            self.finish()
            raise KeyboardInterrupt
