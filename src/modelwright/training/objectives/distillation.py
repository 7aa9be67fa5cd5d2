"""Distillation: learn a teacher's probabilities (Hinton et al. 2015, arXiv:1503.02531)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from modelwright.core.errors import InputError
from modelwright.models.transformer import CausalLM
from modelwright.training.batches import Batch
from modelwright.training.cross_entropy import CHUNK_ELEMENTS, linear_cross_entropy
from modelwright.training.micro_batch import Totals
from modelwright.training.objectives.objective import Losses, Objective


def distillation(teacher: CausalLM, temperature: float, share: float) -> Objective:
    """Make the objective ``share · T² · KL(teacher ‖ student) + (1 - share) · next token``.

    Both distributions are softened by the temperature T; T² keeps the size of the gradients
    (section 2 of the paper).

    Parameters
    ----------
    teacher : CausalLM
        Its weights are not trained; it must be on the student's device.
    temperature : float
        T, above 0.
    share : float
        Part of the teacher in the loss, 0 to 1.

    Raises
    ------
    InputError
        When called with a student of another vocabulary.
    """
    teacher.eval().requires_grad_(False)

    def objective(model: CausalLM, batch: Batch, totals: Totals) -> Losses:
        if model.config.vocab_size != teacher.config.vocab_size:
            raise InputError(
                f"the teacher knows {teacher.config.vocab_size:,} tokens, the model "
                f"{model.config.vocab_size:,}",
                fix="train the model with the teacher's tokenizer",
            )
        with torch.no_grad():
            taught = teacher.hidden_states(batch.tokens, documents=batch.documents).flatten(0, 1)
        hidden = model.hidden_states(batch.tokens, documents=batch.documents).flatten(0, 1)
        heads = model.lm_head.weight, teacher.lm_head.weight
        weights = batch.weights.flatten()
        divergence = _divergence(hidden, taught, heads, weights, temperature)
        targets = batch.targets.flatten()
        is_compiled = model.model.is_compiled
        hard = linear_cross_entropy(hidden, heads[0], targets, weights, is_compiled)
        divergence, hard = divergence / totals["tokens"], hard / totals["tokens"]
        total = share * temperature**2 * divergence + (1 - share) * hard
        return Losses(total, {"divergence": divergence.detach(), "next_token": hard.detach()})

    return objective


def _divergence(
    hidden: Tensor,
    taught: Tensor,
    heads: tuple[Tensor, Tensor],
    weights: Tensor,
    temperature: float,
) -> Tensor:
    """Weighted sum of KL(teacher ‖ student) in nats, in chunks whose logits are computed again."""
    rows = max(1, CHUNK_ELEMENTS // heads[0].shape[0])
    total = torch.zeros((), device=hidden.device)
    for start in range(0, hidden.shape[0], rows):
        part = slice(start, start + rows)
        arguments = hidden[part], taught[part], heads, weights[part], temperature
        total = total + checkpoint(_chunk_divergence, *arguments, use_reentrant=False)
    return total


def _chunk_divergence(
    hidden: Tensor,
    taught: Tensor,
    heads: tuple[Tensor, Tensor],
    weights: Tensor,
    temperature: float,
) -> Tensor:
    student = F.log_softmax(F.linear(hidden, heads[0]).float() / temperature, -1)
    teacher = F.log_softmax(F.linear(taught, heads[1]).float() / temperature, -1)
    divergence = F.kl_div(student, teacher, reduction="none", log_target=True).sum(-1)
    total: Tensor = (divergence * weights).sum()
    return total
