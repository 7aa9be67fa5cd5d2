"""Several rewards with weights as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from modelwright.core.errors import ModelwrightError, UsageError
from modelwright.training.rewards.isolated import IsolatedReward
from modelwright.training.rewards.judge import Judge
from modelwright.training.rewards.kinds import can_hang, local_reward
from modelwright.training.rewards.reward import Reward, RewardError, Sample, Value, checked
from modelwright.training.rewards.settings import (
    JudgeReward,
    ModelReward,
    RewardSettings,
    UnitTestsReward,
)
from modelwright.training.rewards.unit_tests import UnitTests


@dataclass(frozen=True)
class Scored:
    """The rewards of one sample.

    Attributes
    ----------
    total : float or None
        Sum of the values times their weights; None if there is no value.
    parts : dict of str to float or None
        The values by the rewards' names, without weights.
    """

    total: float | None
    parts: dict[str, float | None]


@dataclass
class Failures:
    """Values of one reward that could not be worked out and were left out.

    Attributes
    ----------
    count : int
        How many.
    first : RewardError or None
        What the first of them said.
    """

    count: int = 0
    first: RewardError | None = None


class Rewards:
    """Rewards that are open; made by :func:`open_rewards`, to be closed.

    Attributes
    ----------
    failures : dict of str to Failures
        By the rewards' names.
    """

    def __init__(
        self, settings: dict[str, RewardSettings], rewards: dict[str, Reward], closing: ExitStack
    ):
        self._settings = settings
        self._rewards = rewards
        self._closing = closing
        self.failures = {name: Failures() for name in settings}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that some rewards keep."""
        self._closing.close()

    def score(self, samples: Sequence[Sample]) -> list[Scored]:
        """Work out all rewards of the samples.

        Raises
        ------
        RewardError
            If a reward cannot be worked out whose ``on_error`` is ``stop``.
        """
        if not samples:
            return []
        values = {name: self._values(name, samples) for name in self._rewards}
        rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
        return [Scored(self._total(parts), parts) for parts in rows]

    def _values(self, name: str, samples: Sequence[Sample]) -> list[float | None]:
        reward = self._rewards[name]
        values: list[Value]
        try:
            values = checked(reward(samples), samples, "its values")
        except ModelwrightError as error:
            values = [error] * len(samples)
        return [self._value(name, value) for value in values]

    def _value(self, name: str, value: Value) -> float | None:
        if not isinstance(value, ModelwrightError):
            return value
        error = RewardError(value.what, where=f"reward '{name}', {value.where}", fix=value.fix)
        if self._settings[name].on_error == "stop":
            raise error from value
        failures = self.failures[name]
        failures.count += 1
        failures.first = failures.first or error
        return None

    def _total(self, parts: dict[str, float | None]) -> float | None:
        weighted = [
            self._settings[name].weight * value
            for name, value in parts.items()
            if value is not None
        ]
        if not weighted:
            return None
        total = sum(weighted)
        if not math.isfinite(total):
            raise RewardError(
                f"the sum of the rewards is not finite: {parts}", fix="give smaller weights"
            )
        return total


def open_rewards(settings: Sequence[RewardSettings], folder: Path) -> Rewards:
    """Open rewards: load files, start processes, look whether all is there.

    Parameters
    ----------
    settings : sequence of RewardSettings
        At least one.
    folder : Path
        Where relative paths begin.

    Raises
    ------
    UsageError
        If there is none, or two have one name, or one cannot be had here.
    ModelwrightError
        If a user's file is missing or does not load.
    """
    named = _by_name(settings)
    with ExitStack() as stack:
        rewards = {name: _open(one, folder, stack) for name, one in named.items()}
        return Rewards(named, rewards, stack.pop_all())


def _open(settings: RewardSettings, folder: Path, stack: ExitStack) -> Reward:
    match settings:
        case UnitTestsReward():
            tests = UnitTests(settings)
            stack.callback(tests.close)
            return tests
        case JudgeReward():
            judge = Judge(settings)
            stack.callback(judge.close)
            return judge
        case ModelReward():
            from modelwright.training.rewards.reward_model import RewardModel  # loads torch

            return RewardModel(settings, folder)
        case _ if can_hang(settings):
            isolated = IsolatedReward(settings, folder)
            stack.callback(isolated.close)
            return isolated
        case _:
            return local_reward(settings, folder)


def _by_name(settings: Sequence[RewardSettings]) -> dict[str, RewardSettings]:
    if not settings:
        raise UsageError("there is no reward", fix="give at least one under 'rewards'")
    named = dict[str, RewardSettings]()
    for one in settings:
        name = one.name or one.kind
        if name in named:
            raise UsageError(
                f"two rewards have the name '{name}'", fix="give each a 'name' of its own"
            )
        named[name] = one
    return named
