"""Making a rollout: draw answers, score them, ask models what they think of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from modelwright.inference.sampling import SamplingParams
from modelwright.models.policy_with_value import PolicyWithValue
from modelwright.models.transformer import CausalLM
from modelwright.tokens.tokenizer import Tokenizer
from modelwright.training.losses.advantages import groups_without_spread
from modelwright.training.losses.kl_control import next_coefficient
from modelwright.training.objectives.scoring import scored_states
from modelwright.training.reinforcement.prompts import Prompt, prompts_at
from modelwright.training.reinforcement.rollout import Answer, Rollout
from modelwright.training.reinforcement.rollout_batches import RolloutPlan
from modelwright.training.reinforcement.sampling import (
    Reference,
    answer_log_probabilities,
    behind_prompt,
    draw_answers,
    rows_of,
)
from modelwright.training.rewards.combine import Rewards
from modelwright.training.rewards.reward import Sample
from modelwright.training.sequences import Sequences


@dataclass(frozen=True)
class KLControl:
    """What leaving the reference costs.

    Attributes
    ----------
    coefficient : float
        β of the first rollout.
    target : float, optional
        Nats a sequence that β is adapted to; without it β is fixed.
    gain : float
        How fast it is.
    """

    coefficient: float
    target: float | None = None
    gain: float = 0.1

    def at(self, previous: Rollout | None) -> float:
        """β of the rollout that follows ``previous``."""
        if previous is None:
            return self.coefficient
        if self.target is None:
            return previous.kl_coefficient
        return next_coefficient(
            previous.kl_coefficient, previous.facts["sequence_kl"], self.target, self.gain
        )


@dataclass
class RolloutMaker:
    """Makes rollouts with the model as it is.

    Attributes
    ----------
    model : CausalLM
        Which is trained; one with a value head is asked for values.
    tokenizer : Tokenizer
        The model's own.
    prompts : sequence of Prompt
        All there are.
    rewards : Rewards
        What answers are worth.
    plan : RolloutPlan
        How many.
    params : SamplingParams
        How answers are drawn.
    kl : KLControl
        What leaving the reference costs.
    reference : callable or None
        Opens the reference; None where it costs nothing.
    precision : torch.dtype
        Of the matrix products, as in training.
    max_sequences : int
        Most answers that are written at once.
    """

    model: CausalLM
    tokenizer: Tokenizer
    prompts: Sequence[Prompt]
    rewards: Rewards
    plan: RolloutPlan
    params: SamplingParams
    kl: KLControl
    reference: Reference | None
    precision: torch.dtype
    max_sequences: int = 64
    _pad: int = field(init=False)

    def __post_init__(self) -> None:
        self._pad = self.tokenizer.end_of_text

    def __call__(self, number: int, previous: Rollout | None) -> Rollout:
        """Make rollout ``number``, which follows ``previous``."""
        plan = self.plan
        numbers = prompts_at(self.prompts, number, plan.prompts, plan.seed)
        answers = draw_answers(
            self.model, self.tokenizer, self.prompts, numbers, plan.group, self.params, number,
            self.max_sequences,
        )  # fmt: skip
        scored = self.rewards.score([self._sample(answer) for answer in answers])
        totals = [float("nan") if one.total is None else one.total for one in scored]
        parts = {name: [one.parts[name] for one in scored] for name in scored[0].parts}
        rewards = torch.tensor(totals).view(plan.prompts, plan.group)
        rollout = Rollout(number, answers, rewards, parts, kl_coefficient=self.kl.at(previous))
        tensors = self._tensors(rollout)
        facts = {**_facts(rollout), **_divergence(tensors, rollout)}
        return Rollout(number, answers, rewards, parts, tensors, rollout.kl_coefficient, facts)

    def _sample(self, answer: Answer) -> Sample:
        prompt = self.prompts[answer.prompt]
        return Sample(prompt.text, answer.text, prompt.row, answer.is_finished, len(answer.ids))

    def _tensors(self, rollout: Rollout) -> dict[str, Tensor]:
        """What models say, as far as it is needed."""
        examples = [behind_prompt(self.prompts[one.prompt], one) for one in rollout.answers]
        mask, score = rollout.mask(), answer_log_probabilities(self.params.temperature)
        common = mask, self.plan.micro_rows, self._pad, self.precision
        found = dict[str, Tensor]()
        is_asked = isinstance(self.model, PolicyWithValue) or self.reference is not None
        if self.plan.steps > 1 or is_asked:
            found["old"] = rows_of(self.model, examples, *common, score)
        if self.reference is not None:
            with self.reference() as reference:
                found["reference"] = rows_of(reference, examples, *common, score)
        if isinstance(self.model, PolicyWithValue):
            found["values"] = rows_of(self.model, examples, *common, _values)
        return found


def _values(model: CausalLM, sequences: Sequences) -> Tensor:
    assert isinstance(model, PolicyWithValue)
    return model.values(scored_states(model, sequences))


def _facts(rollout: Rollout) -> dict[str, float]:
    """What is to be logged; rewards that do not apply count in no mean."""
    rewards, answers = rollout.rewards, rollout.answers
    known = rewards[rewards.isfinite()]
    count = len(answers)
    return {
        **({"reward": float(known.mean())} if len(known) else {}),
        "reward_deviation": float(known.std()) if len(known) > 1 else 0.0,
        "groups_without_spread": float(groups_without_spread(rewards).float().mean()),
        "answer_tokens": sum(len(answer.ids) for answer in answers) / count,
        "finished": sum(answer.is_finished for answer in answers) / count,
        "without_reward": 1.0 - len(known) / count,
        **{
            f"reward_{name}": sum(known) / len(known)
            for name, known in _known(rollout.parts).items()
            if known
        },
    }


def _known(parts: dict[str, list[float | None]]) -> dict[str, list[float]]:
    return {
        name: [value for value in values if value is not None] for name, values in parts.items()
    }


def _divergence(tensors: dict[str, Tensor], rollout: Rollout) -> dict[str, float]:
    if "reference" not in tensors:
        return {}
    difference = (tensors["old"] - tensors["reference"]) * rollout.mask()
    return {
        "sequence_kl": float(difference.sum(dim=1).mean()),
        "kl_coefficient": rollout.kl_coefficient,
    }
