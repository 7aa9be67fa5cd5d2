"""Optimizer steps out of rollouts, which are made when the first of them is due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import torch

from modelwright.tokens.order import Permutation
from modelwright.training.checkpoint import newest_step
from modelwright.training.losses.policy import Aggregation, token_weights
from modelwright.training.micro_batch import BatchT
from modelwright.training.parallel.world import ALONE, World
from modelwright.training.reinforcement.advantages import Estimate, Learnt
from modelwright.training.reinforcement.policy_batch import PolicyBatch
from modelwright.training.reinforcement.prompts import Prompt
from modelwright.training.reinforcement.rollout import (
    Rollout,
    forget_rollouts_before,
    load_rollout,
    save_rollout,
)
from modelwright.training.reinforcement.sampling import behind_prompt
from modelwright.training.sequences import Layout, lay_out


@dataclass(frozen=True)
class RolloutPlan:
    """How many answers are drawn, and how often they are learnt from.

    Attributes
    ----------
    prompts, group : int
        Prompts in a rollout, and answers to each.
    epochs : int
        How often each answer is learnt from.
    rows, micro_rows : int
        Answers in an optimizer step and in a micro-batch.
    longest : int
        Most ids of prompt and answer together.
    seed : int
        Sets the order.
    unit : int
        Answers that stay together in a step: 1, or a whole group. ``rows`` is a multiple of it.
    """

    prompts: int
    group: int
    epochs: int
    rows: int
    micro_rows: int
    longest: int
    seed: int
    unit: int = 1

    @property
    def answers(self) -> int:
        """Answers in a rollout."""
        return self.prompts * self.group

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps until each answer was learnt from once more."""
        return -(-self.answers // self.rows)

    @property
    def steps(self) -> int:
        """Optimizer steps in which a rollout is used."""
        return self.epochs * self.steps_per_epoch

    def at(self, number: int, place: int) -> list[int]:
        """The answers of a step of rollout ``number``."""
        epoch, step = divmod(place, self.steps_per_epoch)
        units, taken = self.answers // self.unit, self.rows // self.unit
        order = Permutation(units, self.seed, number * self.epochs + epoch)
        chosen = [order[index] for index in range(step * taken, min((step + 1) * taken, units))]
        return [one * self.unit + place for one in chosen for place in range(self.unit)]


class RolloutBatches(Generic[BatchT]):
    """Micro-batches of rollouts; each rollout is on disk before it is learnt from, for resume.

    Parameters
    ----------
    plan : RolloutPlan
        How many.
    make_rollout : callable
        ``make_rollout(number, previous)`` draws and scores answers with the model as it is.
    make_batches : callable
        ``make_batches(rollout, answers)`` makes the micro-batches of some of its answers.
    largest : callable
        Makes a micro-batch that takes as much memory as any.
    folder : Path
        Where rollouts are kept as long as they are needed.
    checkpoints : Path
        Where the run's checkpoints lie.
    prompt_count : int
        How many prompts there are.
    on_rollout : callable
        Told of every rollout that was made.
    world : World
        The processes: the leader makes rollouts, all read them.
    """

    has_one_shape = False
    can_be_made_ahead = False

    def __init__(
        self,
        plan: RolloutPlan,
        make_rollout: Callable[[int, Rollout | None], Rollout],
        make_batches: Callable[[Rollout, Sequence[int]], list[BatchT]],
        largest: Callable[[], BatchT],
        folder: Path,
        checkpoints: Path,
        prompt_count: int,
        on_rollout: Callable[[Rollout], None],
        world: World = ALONE,
    ):
        self.plan, self.folder, self.checkpoints = plan, folder, checkpoints
        self.on_rollout, self.world = on_rollout, world
        self.make_rollout, self.make_batches, self.largest = make_rollout, make_batches, largest
        self.micro_batches = -(-plan.rows // plan.micro_rows)
        self.tokens_per_step = plan.rows * plan.longest
        self.steps_per_epoch = max(1, -(-prompt_count // plan.prompts)) * plan.steps
        self._rollout: Rollout | None = None

    def at(self, step: int) -> list[BatchT]:
        """The micro-batches of that optimizer step."""
        number, place = divmod(step, self.plan.steps)
        rollout = self._at(number)
        return self.make_batches(rollout, self.plan.at(number, place))

    def _at(self, number: int) -> Rollout:
        if self._rollout is None or self._rollout.number != number:
            if self.world.is_leader:
                self._make_if_missing(number)
            self.world.sum(0.0)  # all wait until it is there
            self._rollout = load_rollout(self.folder, number)
            assert self._rollout is not None
        return self._rollout

    def _make_if_missing(self, number: int) -> None:
        if load_rollout(self.folder, number) is None:
            previous = self._rollout or load_rollout(self.folder, number - 1)
            rollout = self.make_rollout(number, previous)
            save_rollout(rollout, self.folder)
            self.on_rollout(rollout)
            forget_rollouts_before(self.folder, self._saved_step() // self.plan.steps - 1)

    def _saved_step(self) -> int:
        """The step from which a run would go on that is cut off now."""
        return newest_step(self.checkpoints) or 0


def policy_batches(
    rollout: Rollout,
    answers: Sequence[int],
    prompts: Sequence[Prompt],
    learnt: Learnt,
    plan: RolloutPlan,
    layout: Layout,
    aggregation: Aggregation,
    longest_answer: int,
    counts_unfinished: bool,
) -> list[PolicyBatch]:
    """Micro-batches of some answers of a rollout, those of similar length together.

    Parameters
    ----------
    rollout : Rollout
        With what models said of it.
    answers : sequence of int
        Which of its answers.
    prompts : sequence of Prompt
        All there are.
    learnt : Learnt
        What the rollout says of its answers.
    plan : RolloutPlan
        How many go together.
    layout : Layout
        How they are put together.
    aggregation : str
        How losses of ids are summed.
    longest_answer : int
        Most ids that an answer may have.
    counts_unfinished : bool
        Whether answers that were cut off are learnt from.
    """
    by_length = sorted(answers, key=lambda one: (len(rollout.answers[one].ids), one))
    parts = [
        by_length[start : start + plan.micro_rows]
        for start in range(0, len(by_length), plan.micro_rows)
    ]
    return [
        _policy_batch(
            rollout, part, prompts, learnt, layout, aggregation, longest_answer, counts_unfinished
        )
        for part in parts
    ]


def _policy_batch(
    rollout: Rollout,
    part: Sequence[int],
    prompts: Sequence[Prompt],
    learnt: Learnt,
    layout: Layout,
    aggregation: Aggregation,
    longest_answer: int,
    counts_unfinished: bool,
) -> PolicyBatch:
    chosen = list(part)
    answers = [rollout.answers[one] for one in chosen]
    width = max(len(answer.ids) for answer in answers)
    mask = rollout.mask()[chosen, :width]
    counted = mask
    if not counts_unfinished:
        finished = torch.tensor([answer.is_finished for answer in answers])
        counted = mask & finished[:, None]
    weights, divisor = token_weights(aggregation, counted, longest_answer)
    examples = [behind_prompt(prompts[answer.prompt], answer) for answer in answers]
    advantages = learnt.advantages[chosen]
    said = {name: tensor[chosen, :width] for name, tensor in rollout.tensors.items()}
    return PolicyBatch(
        sequences=lay_out(examples, layout),
        mask=mask,
        places=mask.flatten().nonzero().flatten(),
        weights=torch.ones(len(chosen), 1),
        token_weights=weights,
        divisor=float(divisor),
        advantages=advantages if advantages.shape[1] == 1 else advantages[:, :width],
        sampler=rollout.sampler()[chosen, :width],
        old=said.get("old"),
        reference=said.get("reference"),
        old_values=said.get("values"),
        returns=None if learnt.returns is None else learnt.returns[chosen, :width],
        kl_coefficient=rollout.kl_coefficient,
        facts=rollout.facts,
    )


def estimated_once(estimate: Estimate) -> Callable[[Rollout], Learnt]:
    """Keeps what the newest rollout says, which is asked for in each of its steps."""
    known: tuple[Rollout, Learnt] | None = None

    def learnt(rollout: Rollout) -> Learnt:
        nonlocal known
        if known is None or known[0] is not rollout:
            known = rollout, estimate(rollout)
        return known[1]

    return learnt
