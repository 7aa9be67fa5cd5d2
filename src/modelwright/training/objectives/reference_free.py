"""Learning from pairs of answers without a reference: ORPO, SimPO, CPO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from modelwright.models.transformer import CausalLM
from modelwright.training.losses import reference_free as losses
from modelwright.training.losses.preference import comparison_measures
from modelwright.training.micro_batch import Totals
from modelwright.training.objectives.objective import Losses, Objective
from modelwright.training.objectives.scoring import scored_log_probabilities
from modelwright.training.pairs import PairBatch


@dataclass(frozen=True)
class Scores:
    """What a model says of P pairs, float32.

    Attributes
    ----------
    chosen, rejected : Tensor
        Log-probabilities of the answers, summed over their tokens (P,).
    chosen_means, rejected_means : Tensor
        The same, averaged (P,).
    chosen_texts : Tensor
        Log-probabilities of all that is scored of chosen sequences, summed (P,).
    tokens_per_pair : float
        Scored tokens of chosen sequences over pairs, in the whole step.
    """

    chosen: Tensor
    rejected: Tensor
    chosen_means: Tensor
    rejected_means: Tensor
    chosen_texts: Tensor
    tokens_per_pair: float


def orpo(beta: float) -> Objective:
    """ORPO; with prompts that are scored, its likelihood is that of prompt and answer."""
    return _objective(
        lambda s: losses.orpo(
            s.chosen_means, s.rejected_means, s.chosen_texts, s.tokens_per_pair, beta
        ),
        beta,
        averages=True,
    )


def orpo_by_answer(beta: float) -> Objective:
    """ORPO with the mean over each chosen answer's tokens as likelihood."""
    return _objective(
        lambda s: losses.orpo_by_answer(s.chosen_means, s.rejected_means, beta),
        beta,
        averages=True,
    )


def simpo(beta: float, margin: float, smoothing: float) -> Objective:
    """SimPO."""
    return _objective(
        lambda s: losses.simpo(s.chosen_means, s.rejected_means, beta, margin, smoothing),
        beta,
        averages=True,
    )


def cpo(beta: float, likelihood_weight: float, smoothing: float) -> Objective:
    """CPO."""
    return _objective(
        lambda s: losses.cpo(
            s.chosen, s.rejected, s.tokens_per_pair, beta, likelihood_weight, smoothing
        ),
        beta,
        averages=False,
    )


def _objective(loss: Callable[[Scores], Tensor], beta: float, averages: bool) -> Objective:
    def objective(model: CausalLM, batch: PairBatch, totals: Totals) -> Losses:
        values = scored_log_probabilities(model, batch.sequences)
        sums = batch.sequences.sums(values * batch.is_answer)
        means = sums / batch.sequences.sums(batch.is_answer)
        tokens_per_pair = totals["chosen_tokens"] / totals["pairs"]
        texts = batch.sequences.sums(values)[0::2]
        scores = Scores(sums[0::2], sums[1::2], means[0::2], means[1::2], texts, tokens_per_pair)
        shares = batch.weights / totals["pairs"]
        rewards = beta * (means if averages else sums).detach()
        measures = comparison_measures(rewards[0::2], rewards[1::2])
        return Losses(
            (loss(scores) * shares).sum(),
            {name: (value * shares).sum() for name, value in measures.items()},
        )

    return objective
