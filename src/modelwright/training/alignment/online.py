"""Methods that learn from the model's own answers: GRPO, RLOO, PPO, online DPO, rejection."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from modelwright.core.errors import UsageError
from modelwright.inference.sampling import SamplingParams
from modelwright.models.adapters.attach import without_adapters
from modelwright.models.transformer import CausalLM
from modelwright.training.alignment.offline import Setup
from modelwright.training.alignment.rows import read_prompts
from modelwright.training.alignment.settings import AlignSettings
from modelwright.training.batches import example_batch
from modelwright.training.checkpoint import CHECKPOINTS
from modelwright.training.examples import TokenizedExample
from modelwright.training.losses.advantages import groups_without_spread
from modelwright.training.losses.kl import KLForm
from modelwright.training.losses.policy import RatioLevel
from modelwright.training.objectives.next_token import next_token
from modelwright.training.objectives.objective import Objective
from modelwright.training.objectives.policy import PolicyLoss, policy
from modelwright.training.objectives.preference import preference
from modelwright.training.pairs import PairBatch, TokenizedPair, pair_batch
from modelwright.training.reinforcement.advantages import (
    Estimate,
    by_group,
    by_leaving_one_out,
    by_value,
)
from modelwright.training.reinforcement.prompts import Prompt
from modelwright.training.reinforcement.rollout import Answer, Rollout
from modelwright.training.reinforcement.rollout_batches import (
    RolloutBatches,
    RolloutPlan,
    estimated_once,
    policy_batches,
)
from modelwright.training.reinforcement.rollout_log import FILE as LOG
from modelwright.training.reinforcement.rollout_log import RolloutLog
from modelwright.training.reinforcement.rollout_maker import KLControl, RolloutMaker
from modelwright.training.reinforcement.sampling import Reference, behind_prompt
from modelwright.training.rewards.combine import Rewards
from modelwright.training.sequences import Layout

BY_GROUP = ("online_dpo", "rejection")
"""Methods that learn from whole groups of answers."""


@dataclass(frozen=True)
class OnlineTask:
    """What a method trains on.

    Attributes
    ----------
    objective : Objective
        What is minimised.
    batches : RolloutBatches
        On what.
    prompts : int
        How many there are.
    """

    objective: Objective
    batches: RolloutBatches[Any]
    prompts: int
    held_out: list[Prompt]


def online_task(setup: Setup, rewards: Rewards) -> OnlineTask:
    """The task of a method."""
    settings = setup.settings
    context = setup.model.config.max_position_embeddings
    if settings.shard and setup.world.size > 1:
        raise UsageError(
            f"{settings.method} draws answers, which a model in pieces cannot do",
            fix="leave --shard out: each process then has a copy",
        )
    if settings.answer_tokens >= context:
        raise UsageError(
            f"answers of {settings.answer_tokens} tokens do not fit into a context of {context}",
            fix="give a smaller --answer-tokens",
        )
    room = context - settings.answer_tokens
    folder = setup.job.input("examples").path
    prompts = read_prompts(folder / "train.jsonl", setup.tokenizer, room, setup.dropped)
    held_out = read_prompts(folder / "heldout.jsonl", setup.tokenizer, room, Counter())
    plan = plan_of(settings, setup.micro_rows, prompts)
    maker = RolloutMaker(
        setup.model,
        setup.tokenizer,
        prompts,
        rewards,
        plan,
        SamplingParams(settings.answer_tokens, settings.temperature, seed=settings.seed),
        KLControl(settings.beta_of_method(), settings.kl_target),
        reference_of(setup.model, settings),
        setup.precision,
        settings.concurrent_answers,
    )
    make = _BatchMaker(setup, prompts, plan)
    batches = RolloutBatches(
        plan,
        maker,
        make.batches(),
        make.largest,
        setup.job.scratch / "rollouts",
        setup.job.scratch / CHECKPOINTS,
        len(prompts),
        RolloutLog(setup.job.log / LOG, prompts),
        setup.world,
    )
    return OnlineTask(objective_of(settings), batches, len(prompts), held_out)


def plan_of(settings: AlignSettings, micro_rows: int, prompts: Sequence[Prompt]) -> RolloutPlan:
    """How many answers are drawn.

    Raises
    ------
    UsageError
        If there are no prompts, or the method compares more answers than are drawn.
    """
    if not prompts:
        raise UsageError("there is no prompt to answer", fix="give examples with prompts")
    if settings.group < 2 and settings.method != "ppo":
        raise UsageError(
            f"{settings.method} compares the answers to a prompt, and there is one",
            fix="give a --group of at least 2",
        )
    assert settings.batch_rows is not None
    unit = settings.group if settings.method in BY_GROUP else 1
    longest_prompt = max(len(prompt.ids) for prompt in prompts)
    rows = max(unit, settings.batch_rows // unit * unit)
    count = min(settings.prompts, len(prompts))
    return RolloutPlan(
        count,
        settings.group,
        settings.rollout_epochs,
        min(rows, count * settings.group),
        micro_rows,
        longest_prompt + settings.answer_tokens,
        settings.seed,
        unit,
    )


def objective_of(settings: AlignSettings) -> Objective:
    """What a method minimises."""
    match settings.method:
        case "online_dpo":
            weights = settings.loss_weights()
            return preference(weights, settings.beta_of_method(), settings.label_smoothing)
        case "rejection":
            return next_token
        case _:
            return policy(policy_loss(settings))


def policy_loss(settings: AlignSettings) -> PolicyLoss:
    """The loss of GRPO, RLOO and PPO."""
    usual: RatioLevel = "sequence_sum" if settings.method == "rloo" else "token"
    return PolicyLoss(
        surrogate=settings.surrogate,
        level=settings.ratio or usual,
        clip_low=settings.clip_low,
        clip_high=settings.clip_high or (5.0 if settings.surrogate == "cispo" else 0.2),
        ratio_ceiling=settings.ratio_ceiling,
        kl_form=settings.kl or "k3",
        is_kl_in_loss=settings.method == "grpo",
        entropy_weight=settings.entropy_weight,
        temperature=settings.temperature,
        value_weight=settings.value_weight,
        value_clip=settings.value_clip,
    )


def estimate_of(settings: AlignSettings) -> Estimate:
    """From rewards to advantages."""
    in_reward: KLForm = settings.kl or "k1"
    match settings.method:
        case "rloo":
            return by_leaving_one_out(in_reward)
        case "ppo":
            return by_value(settings.discount, settings.trace, in_reward, settings.whitens_rewards)
        case _:
            return by_group(settings.scale)


def reference_of(model: CausalLM, settings: AlignSettings) -> Reference | None:
    """The model before training: the base under an adapter, else a copy; none where it is free."""
    if settings.beta_of_method() == 0 or settings.method == "rejection":
        return None
    if settings.adapter is not None:

        @contextmanager
        def base() -> Iterator[CausalLM]:
            with without_adapters(model):
                yield model

        return base
    frozen = copy.deepcopy(model).eval().requires_grad_(False)

    @contextmanager
    def copied() -> Iterator[CausalLM]:
        yield frozen

    return copied


class _BatchMaker:
    """Makes a method's micro-batches out of rollouts."""

    def __init__(self, setup: Setup, prompts: Sequence[Prompt], plan: RolloutPlan):
        self.settings, self.layout = setup.settings, setup.layout
        self.prompts, self.plan = prompts, plan
        self.learnt = estimated_once(estimate_of(self.settings))

    def batches(self) -> Any:
        """The function of the method."""
        by_method = {"online_dpo": self._pairs, "rejection": self._best}
        return by_method.get(self.settings.method, self._policy)

    def largest(self) -> Any:
        """Of a rollout in which all answers are as long as they may be."""
        count, group = -(-self.plan.rows // self.plan.group), self.plan.group
        longest = max(range(len(self.prompts)), key=lambda one: len(self.prompts[one].ids))
        rollout = self._full(longest, count, group)
        return self.batches()(rollout, range(min(self.plan.rows, count * group)))[0]

    def _full(self, prompt: int, count: int, group: int) -> Rollout:
        """A rollout of ``count`` groups with everything that one may hold."""
        length = self.settings.answer_tokens
        answer = Answer(prompt, [0] * length, "", True, [0.0] * length)
        zeros = torch.zeros(count * group, length)
        names = ("old", "reference", "values")
        return Rollout(
            -1,
            [answer] * (count * group),
            torch.arange(group).float().expand(count, group).contiguous(),
            {},
            dict.fromkeys(names, zeros),
            kl_coefficient=self.settings.beta_of_method(),
        )

    def _policy(self, rollout: Rollout, answers: Sequence[int]) -> list[Any]:
        learnt = self.learnt(rollout)
        return list(
            policy_batches(
                rollout,
                answers,
                self.prompts,
                learnt,
                self.plan,
                self.layout,
                self.settings.aggregation,
                self.settings.answer_tokens,
                self.settings.counts_unfinished,
            )
        )

    def _behind(self, rollout: Rollout, one: int) -> TokenizedExample:
        answer = rollout.answers[one]
        return behind_prompt(self.prompts[answer.prompt], answer)

    def _pairs(self, rollout: Rollout, answers: Sequence[int]) -> list[PairBatch]:
        """The best and the worst answer of each group, with weight where they differ."""
        sums = (rollout.tensors["reference"] * rollout.mask()).sum(dim=1)
        batches = []
        for groups in self._parts(rollout, answers):
            extremes = [_extremes(rollout, group) for group in groups]
            pairs = [
                TokenizedPair(self._behind(rollout, best), self._behind(rollout, worst))
                for best, worst in extremes
            ]
            known = sums[[one for both in extremes for one in both]]
            batch = pair_batch(pairs, self.layout, known)
            batches.append(replace(batch, weights=_differs(rollout, groups)))
        return batches

    def _best(self, rollout: Rollout, answers: Sequence[int]) -> list[Any]:
        """The best answer of each group, with weight where it is better than others."""
        batches = []
        for groups in self._parts(rollout, answers):
            best = [self._behind(rollout, _extremes(rollout, group)[0]) for group in groups]
            batch = example_batch(best, Layout(self.layout.pad))
            weights = batch.weights * _differs(rollout, groups)[:, None]
            batches.append(replace(batch, weights=weights))
        return batches

    def _parts(self, rollout: Rollout, answers: Sequence[int]) -> list[list[int]]:
        """The groups of these answers, by micro-batch."""
        groups = sorted({one // rollout.group for one in answers})
        rows = self.plan.micro_rows
        return [groups[start : start + rows] for start in range(0, len(groups), rows)]


def _extremes(rollout: Rollout, group: int) -> tuple[int, int]:
    """The best and the worst answer of a group, by their numbers."""
    rewards = rollout.rewards[group]
    first = group * rollout.group
    best = first + int(rewards.nan_to_num(nan=-torch.inf).argmax())
    worst = first + int(rewards.nan_to_num(nan=torch.inf).argmin())
    return best, worst


def _differs(rollout: Rollout, groups: Sequence[int]) -> Tensor:
    """1 for groups whose rewards differ, 0 for others, float32."""
    return (~groups_without_spread(rollout.rewards[list(groups)])).float()
