"""Learning from rewards of sampled answers: PPO, RLOO, GRPO and its kin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from modelwright.models.policy_with_value import PolicyWithValue
from modelwright.models.transformer import CausalLM
from modelwright.training.losses.kl import KLForm, kl_estimates, kl_penalties
from modelwright.training.losses.log_probabilities import (
    log_probabilities_and_entropies,
)
from modelwright.training.losses.policy import (
    RatioLevel,
    cispo,
    clipped,
    clipped_shares,
    log_ratios,
    sapo,
)
from modelwright.training.losses.value import clipped_value_losses
from modelwright.training.micro_batch import Totals
from modelwright.training.objectives.objective import Losses, Objective
from modelwright.training.objectives.scoring import scored_states
from modelwright.training.reinforcement.policy_batch import PolicyBatch

Surrogate = Literal["clipped", "cispo", "sapo"]


@dataclass(frozen=True)
class PolicyLoss:
    """What is minimised.

    Attributes
    ----------
    surrogate : {"clipped", "cispo", "sapo"}
        The loss of each id.
    level : {"token", "sequence_mean", "sequence_sum"}
        Of what importance ratios are.
    clip_low, clip_high : float
        ε_low and ε_high; for cispo the greatest ratio is ``clip_high``.
    ratio_ceiling : float, optional
        δ of the two-sided clip.
    kl_form : {"k1", "k2", "k3"}
        Estimate of the divergence from the reference.
    is_kl_in_loss : bool
        Whether it is paid in the loss; RLOO and PPO pay it in the reward.
    is_kl_unbiased : bool
        Whether its gradient is made unbiased by the importance ratio.
    entropy_weight : float
        How much entropy is rewarded.
    temperature : float
        At which answers were drawn; log-probabilities are those of that distribution.
    value_weight, value_clip : float
        Of the value head's loss, and how far it may move; for a policy that has one.
    """

    surrogate: Surrogate = "clipped"
    level: RatioLevel = "token"
    clip_low: float = 0.2
    clip_high: float = 0.2
    ratio_ceiling: float | None = None
    kl_form: KLForm = "k3"
    is_kl_in_loss: bool = True
    is_kl_unbiased: bool = True
    entropy_weight: float = 0.0
    temperature: float = 1.0
    value_weight: float = 0.1
    value_clip: float = 0.2


def policy(loss: PolicyLoss) -> Objective:
    """Make the objective: weighted losses of sampled ids over the step's divisor."""

    def objective(model: CausalLM, batch: PolicyBatch, totals: Totals) -> Losses:
        states = scored_states(model, batch.sequences)
        found = log_probabilities_and_entropies(
            states, model.lm_head.weight, batch.sequences.targets, loss.temperature
        )
        logs, entropies = (batch.rows(values) for values in found)
        old = logs.detach() if batch.old is None else batch.old
        ratios = log_ratios(loss.level, logs, old, batch.mask).exp()
        losses = _surrogate(loss, ratios, batch.advantages, logs)
        measures = _measures(loss, batch, logs.detach(), entropies.detach(), ratios.detach())
        if loss.is_kl_in_loss and batch.reference is not None and batch.kl_coefficient:
            unbiased = ratios if loss.is_kl_unbiased else None
            penalties = kl_penalties(loss.kl_form, logs, batch.reference, unbiased)
            losses = losses + batch.kl_coefficient * penalties
        if loss.entropy_weight:
            losses = losses - loss.entropy_weight * entropies
        total = (losses * batch.token_weights * batch.weights).sum() / totals["policy"]
        means = {name: value / totals["ids"] for name, value in measures.items()}
        if isinstance(model, PolicyWithValue):
            assert batch.old_values is not None
            assert batch.returns is not None
            values = batch.rows(model.values(states))
            value_losses = clipped_value_losses(
                values, batch.old_values, batch.returns, loss.value_clip
            )
            value_loss = (value_losses * batch.mask * batch.weights).sum() / totals["ids"]
            total = total + loss.value_weight * value_loss
            means["value_loss"] = value_loss.detach()
        share = batch.weights.sum() / totals["answers"]
        facts = {name: value * share for name, value in batch.facts.items()}
        return Losses(total, {**means, **facts})

    return objective


def _surrogate(loss: PolicyLoss, ratios: Tensor, advantages: Tensor, logs: Tensor) -> Tensor:
    match loss.surrogate:
        case "clipped":
            return clipped(ratios, advantages, loss.clip_low, loss.clip_high, loss.ratio_ceiling)
        case "cispo":
            return cispo(ratios, advantages, logs, loss.clip_high)
        case "sapo":
            return sapo(ratios, advantages)


def _measures(
    loss: PolicyLoss, batch: PolicyBatch, logs: Tensor, entropies: Tensor, ratios: Tensor
) -> dict[str, Tensor]:
    """Sums over the ids of answers of what is to be watched."""
    low, high = clipped_shares(ratios, batch.advantages, loss.clip_low, loss.clip_high)
    values = {
        "entropy": entropies,
        "ratio": ratios.expand_as(logs),
        "clipped": (low + high).expand_as(logs),
        # How far trainer and sampler are apart; after a step of the rollout the policy has moved.
        "sampler_difference": (logs - batch.sampler).abs(),
    }
    if batch.reference is not None:
        values["kl"] = kl_estimates("k3", logs, batch.reference)
    counts = batch.mask * batch.weights
    return {name: (value * counts).sum() for name, value in values.items()}
