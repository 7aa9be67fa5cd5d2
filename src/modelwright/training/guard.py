"""Guard against bad steps: leave out those that would do harm, and say when to give up.

One update from a gradient that is not finite, or many times as long as usual, can undo hours of
training; leaving it out costs one batch. OLMo-core's ``SkipStepOptimizer`` skips a step whose loss
or gradient norm lies more than 6 standard deviations above the mean of the last 128. Small batches
of rare text reach 30 deviations in good runs of small models, with a gradient norm of less than 5
times the usual, which clipping deals with. So here a high loss alone is only counted, and compared
with median and median absolute deviation, which a spike does not move (Rousseeuw and Croux 1993).

What step ``n`` may reach follows from the steps before ``n - 1``: verdicts may come one step late,
as on a GPU that must not be waited for, and are the same as those that come at once.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modelwright.core.errors import InputError, TrainingError

Action = Literal["take", "skip", "stop"]

NORMAL_DEVIATION = 1.4826
"""Standard deviation of a normal distribution in median absolute deviations."""

SHOWN_STEPS = 8
"""Steps that a diagnosis lists."""


@dataclass(frozen=True)
class GuardSettings:
    """When a step is bad, and how many of them are too many.

    Attributes
    ----------
    window : int
        Steps that a step is compared with.
    first : int
        Steps before which only what is not finite is bad.
    loss_deviations : float
        A loss is high so many standard deviations (from the median absolute deviation) above the
        median, if it is ...
    loss_share : float
        ... also above the median by this part of it. When every loss is alike, any noise is many
        deviations.
    raised_norm, high_norm : float
        A gradient norm that is so many times the median is bad together with a high loss; by
        itself.
    in_a_row : int
        Steps one after the other, with high losses or left out, at which training should stop.
    in_window : int
        Steps left out in a window at which training should stop.
    watches_loss : bool
        Whether high losses count: those of policy gradients say nothing.
    """

    window: int = 128
    first: int = 32
    loss_deviations: float = 6.0
    loss_share: float = 0.25
    raised_norm: float = 5.0
    high_norm: float = 10.0
    in_a_row: int = 8
    in_window: int = 32
    watches_loss: bool = True


@dataclass(frozen=True)
class Limits:
    """What is allowed to a step; everything finite while too little is known.

    Attributes
    ----------
    loss : float
        Above it a mean loss (nats) is high.
    raised_norm, high_norm : float
        Limits of the gradient norm before clipping, with a high loss and without.
    """

    loss: float = math.inf
    raised_norm: float = math.inf
    high_norm: float = math.inf

    def allow(self, loss: Any, gradient_norm: Any) -> Any:
        """Whether a step should be taken: of two floats, or of two 0-d tensors where they are."""
        is_finite = (abs(loss) < math.inf) & (gradient_norm < math.inf)
        is_usual = (loss <= self.loss) | (gradient_norm <= self.raised_norm)
        return is_finite & is_usual & (gradient_norm <= self.high_norm)


@dataclass(frozen=True)
class Verdict:
    """What to do with a step.

    Attributes
    ----------
    action : {"take", "skip", "stop"}
        Take its update; leave it out; leave it out and end the training.
    reason : str
        Why it is not taken; empty if it is.
    """

    action: Action
    reason: str = ""


@dataclass(frozen=True)
class _Step:
    number: int
    loss: float
    gradient_norm: float
    learning_rate: float
    is_taken: bool
    is_high: bool

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


class Guard:
    """Judges every step by those before it.

    The loop calls, for the steps 1, 2, 3 ... in order::

        verdict = guard.judge(step, loss, gradient_norm, learning_rate)
        if verdict.action == "stop":
            raise guard.diagnosis()
        if verdict.action == "take":
            optimizers.step(...)

    On a GPU it may instead take the update on the device where
    ``guard.limits(step).allow(loss, gradient_norm)`` is true there, and call ``judge`` for the step
    before while this one is computed. Before a checkpoint every step must be judged.

    Parameters
    ----------
    settings : GuardSettings
        Limits.
    """

    def __init__(self, settings: GuardSettings | None = None):
        self.settings = settings or GuardSettings()
        self._steps = deque[_Step](maxlen=self.settings.window + 1)

    def limits(self, step: int) -> Limits:
        """What that step may reach, from the steps before the one before it."""
        oldest = step - 1 - self.settings.window
        known = [past for past in self._steps if oldest <= past.number < step - 1]
        known = [past for past in known if past.is_finite]
        if len(known) < self.settings.first:
            return Limits()
        losses = [past.loss for past in known]
        middle = statistics.median(losses)
        spread = NORMAL_DEVIATION * statistics.median(abs(loss - middle) for loss in losses)
        above = max(self.settings.loss_deviations * spread, self.settings.loss_share * abs(middle))
        # A step that teaches nothing, as when all rewards are alike, says nothing of others.
        norms = [past.gradient_norm for past in known if past.gradient_norm > 0]
        norm = statistics.median(norms) if len(norms) >= self.settings.first else math.inf
        loss = middle + above if self.settings.watches_loss else math.inf
        return Limits(loss, self.settings.raised_norm * norm, self.settings.high_norm * norm)

    def judge(self, step: int, loss: float, gradient_norm: float, learning_rate: float) -> Verdict:
        """Say what to do with a step, and remember it.

        Parameters
        ----------
        step : int
            Its number.
        loss : float
            Mean over the weight of the whole step, nats.
        gradient_norm : float
            Before clipping.
        learning_rate : float
            Only for the diagnosis.
        """
        limits = self.limits(step)
        is_taken, is_high = bool(limits.allow(loss, gradient_norm)), loss > limits.loss
        self._steps.append(_Step(step, loss, gradient_norm, learning_rate, is_taken, is_high))
        reason = _reason(loss, gradient_norm, limits)
        if self._has_failed():
            return Verdict("stop", reason)
        return Verdict("take") if is_taken else Verdict("skip", reason)

    def diagnosis(self) -> TrainingError:
        """Why training should stop: the last steps, and what to try."""
        last = self._steps[-1]
        skipped = sum(not past.is_taken for past in self._steps)
        reason = _reason(last.loss, last.gradient_norm, self.limits(last.number))
        return TrainingError(
            f"training does not recover: {skipped} of the last {len(self._steps)} steps were left "
            f"out, and now {reason}\n{_table(self._steps)}",
            where=f"step {last.number:,}, learning rate {last.learning_rate:.3g}",
            fix=_advice(self._steps),
        )

    def state(self) -> dict[str, Any]:
        """All that it remembers, for JSON; numbers that are not finite as text."""
        return {"steps": [_to_json(past) for past in self._steps]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what :meth:`state` gave.

        Raises
        ------
        InputError
            If it is something else.
        """
        try:
            steps = [
                _Step(int(number), float(loss), float(norm), float(rate), bool(taken), bool(high))
                for number, loss, norm, rate, taken, high in state["steps"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the checkpoint's guard cannot be read: {error}") from None
        self._steps = deque(steps, maxlen=self.settings.window + 1)

    def _has_failed(self) -> bool:
        """Whether there were too many bad steps, the last one among them."""
        bad = [past.is_high or not past.is_taken for past in self._steps]
        if not bad[-1]:
            return False
        in_a_row = self.settings.in_a_row
        skipped = sum(not past.is_taken for past in self._steps)
        return sum(bad[-in_a_row:]) == in_a_row or skipped >= self.settings.in_window


def _reason(loss: float, gradient_norm: float, limits: Limits) -> str:
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if not math.isfinite(gradient_norm):
        return f"the gradient norm is {gradient_norm}"
    if gradient_norm > limits.high_norm:
        return f"the gradient norm {gradient_norm:.4g} is above {limits.high_norm:.4g}"
    return (
        f"the loss {loss:.4g} is above {limits.loss:.4g} (gradient norm {gradient_norm:.4g}, "
        f"usually below {limits.raised_norm:.4g})"
    )


def _to_json(step: _Step) -> list[int | float | str | bool]:
    numbers = (step.loss, step.gradient_norm, step.learning_rate)
    texts = [number if math.isfinite(number) else str(number) for number in numbers]
    return [step.number, *texts, step.is_taken, step.is_high]


def _table(steps: Sequence[_Step]) -> str:
    """The last steps, a line each."""
    return "\n".join(
        f"  step {past.number:,}: loss {past.loss:.4g}, gradient norm {past.gradient_norm:.4g}, "
        f"learning rate {past.learning_rate:.3g}{'' if past.is_taken else ', left out'}"
        for past in list(steps)[-SHOWN_STEPS:]
    )


def _advice(steps: Sequence[_Step]) -> str:
    """What helps most often where training broke in that way."""
    if not any(past.is_finite for past in steps):
        return "check the weights that it starts from, then try --precision float32"
    first = next(index for index, past in enumerate(steps) if past.is_high or not past.is_taken)
    if first > 0 and steps[first].learning_rate > steps[first - 1].learning_rate:
        return "the rate was still rising: lower the learning rates or lengthen --warmup"
    if not steps[-1].is_finite:
        return "lower the learning rates, or try --precision float32"
    return "lower the learning rates, enlarge the batch, or look at the text of these steps"
