"""Gives a training up when its held-out measurements do not promise enough."""

from __future__ import annotations

from collections.abc import Callable

from modelwright.core.errors import PrunedError
from modelwright.core.job import ShouldPrune
from modelwright.training.checkpoint import TrainState
from modelwright.training.parallel.world import ALONE, World


class Pruning:
    """Tells of every measurement, and ends the run where the answer is to give it up.

    The checkpoint is that of the step that was measured, so that a run that is taken up again does
    what it would have done.

    Parameters
    ----------
    should_prune : callable
        ``should_prune(step, values)``; the leader's is asked.
    save : callable
        Saves a state; may go on in the background.
    finish : callable
        Waits until what was saved last is on disk.
    world : World
        The processes that stop together.
    """

    def __init__(
        self,
        should_prune: ShouldPrune,
        save: Callable[[TrainState], None],
        finish: Callable[[], None],
        world: World = ALONE,
    ):
        self.should_prune, self.save, self.finish = should_prune, save, finish
        self.world = world

    def __call__(self, state: TrainState, values: dict[str, float]) -> None:
        """Ask about a measurement.

        Raises
        ------
        PrunedError
            After saving, in every process.
        """
        is_given_up = self.world.is_leader and self.should_prune(state.step, values)
        (said,) = self.world.sum(float(is_given_up))
        if not said:
            return
        self.save(state)
        self.finish()
        raise PrunedError(
            f"the training was given up after step {state.step:,}",
            fix="run it again without pruning, and it goes on from there",
        )
