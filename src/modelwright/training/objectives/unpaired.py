"""Learning from answers with a thumb up or down, beside a reference: KTO, APO-zero unpaired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from modelwright.models.transformer import CausalLM
from modelwright.training.labelled import LabelledBatch
from modelwright.training.losses import unpaired as losses
from modelwright.training.micro_batch import Totals
from modelwright.training.objectives.objective import Losses, Objective
from modelwright.training.objectives.scoring import scored_log_probabilities
from modelwright.training.parallel.world import World


def kto(beta: float, good_weight: float = 1.0, bad_weight: float = 1.0) -> Objective:
    """Make the objective: the mean over answers of KTO's losses, beside the step's baseline.

    With a baseline of 0, which :func:`with_baseline` would fill in, it is unpaired APO-zero.
    """

    def objective(model: CausalLM, batch: LabelledBatch, totals: Totals) -> Losses:
        sums = batch.sequences.sums(scored_log_probabilities(model, batch.sequences))
        ratios = sums - batch.reference
        shares = batch.weights / totals["answers"]
        values = losses.kto(ratios, batch.is_good, batch.baseline, beta, good_weight, bad_weight)
        rewards = beta * ratios.detach() * batch.weights
        good = (rewards * batch.is_good).sum() / max(totals["good"], 1.0)
        bad = (rewards * ~batch.is_good).sum() / max(totals["bad"], 1.0)
        measures = {
            "good_reward": good,
            "bad_reward": bad,
            "margin": good - bad,
            "divergence": batch.baseline * shares.sum(),
        }
        return Losses((values * shares).sum(), measures)

    return objective


def with_baseline(
    model: CausalLM, batches: Sequence[LabelledBatch], world: World
) -> list[LabelledBatch]:
    """The micro-batches of a step with its baseline z0, the mean over all of them (``Prepare``)."""
    device = next(model.parameters()).device
    total, count = torch.zeros((), device=device), torch.zeros((), device=device)
    for batch in batches:
        assert batch.mismatched is not None
        assert batch.mismatched_reference is not None
        sums = batch.mismatched.sums(scored_log_probabilities(model, batch.mismatched))
        ratios = (sums - batch.mismatched_reference) * batch.weights
        total, count = total + ratios.sum(), count + batch.weights.sum()
    total, count = world.add(torch.stack([total, count]))
    baseline = losses.kl_baseline((total / count)[None])
    return [replace(batch, baseline=baseline) for batch in batches]
