"""Learning from pairs of answers, beside a reference: DPO and its kin."""

from __future__ import annotations

from collections.abc import Mapping

from modelwright.models.transformer import CausalLM
from modelwright.training.losses.preference import (
    Pairs,
    comparison_measures,
    implicit_rewards,
    preference_loss,
)
from modelwright.training.micro_batch import Totals
from modelwright.training.objectives.objective import Losses, Objective
from modelwright.training.objectives.scoring import scored_log_probabilities
from modelwright.training.pairs import PairBatch


def preference(losses: Mapping[str, float], beta: float, smoothing: float = 0.0) -> Objective:
    """Make the objective: the mean over pairs of a weighted sum of preference losses.

    Parameters
    ----------
    losses : mapping of str to float
        Names from :data:`~modelwright.training.losses.preference.PREFERENCE_LOSSES` (and ``sft``,
        the likelihood of the chosen answers, mean over their tokens) with their weights.
    beta : float
        β: how much leaving the reference costs.
    smoothing : float
        Share of labels that are expected to be wrong, for the losses that take it.
    """
    functions = {name: preference_loss(name) for name in losses if name != SFT}

    def objective(model: CausalLM, batch: PairBatch, totals: Totals) -> Losses:
        assert batch.reference is not None
        sums = batch.sequences.sums(scored_log_probabilities(model, batch.sequences))
        lengths = batch.sequences.lengths()
        pairs = Pairs(
            sums[0::2], sums[1::2],
            batch.reference[0::2], batch.reference[1::2],
            lengths[0::2], lengths[1::2],
        )  # fmt: skip
        shares = batch.weights / totals["pairs"]
        total = sums.new_zeros(())
        for name, function in functions.items():
            total = total + losses[name] * (function(pairs, beta, smoothing) * shares).sum()
        if SFT in losses:
            likelihood = (pairs.chosen * batch.weights).sum() / totals["chosen_tokens"]
            total = total - losses[SFT] * likelihood
        measures = comparison_measures(*implicit_rewards(pairs, beta))
        return Losses(total, {name: (value * shares).sum() for name, value in measures.items()})

    return objective


SFT = "sft"
