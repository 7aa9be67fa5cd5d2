"""Learning a reward from pairs of answers (Bradley and Terry 1952)."""

from __future__ import annotations

from modelwright.models.sequence_classifier import SequenceClassifier
from modelwright.training.losses.preference import comparison_measures
from modelwright.training.losses.reward import bradley_terry
from modelwright.training.micro_batch import Totals
from modelwright.training.objectives.objective import Losses, Objective
from modelwright.training.pairs import PairBatch


def reward(centring: float = 0.0) -> Objective:
    """Make the objective: the mean over pairs of -log σ(r_c - r_r - margin) + centring."""

    def objective(model: SequenceClassifier, batch: PairBatch, totals: Totals) -> Losses:
        sequences = batch.sequences
        scores = model(sequences.tokens, sequences.lasts, sequences.documents).float().squeeze(-1)
        chosen, rejected = scores[0::2], scores[1::2]
        shares = batch.weights / totals["pairs"]
        losses = bradley_terry(chosen, rejected, batch.margins, centring)
        measures = comparison_measures(chosen.detach(), rejected.detach())
        return Losses(
            (losses * shares).sum(),
            {name: (value * shares).sum() for name, value in measures.items()},
        )

    return objective
