"""Losses of pairs with a reference model: DPO (Rafailov et al. 2023, arXiv:2305.18290) and its kin.

All are functions of the log-ratios l = log π(y|x) - log π_ref(y|x) of the chosen (c) and the
rejected (r) answer, and of h = β·(l_c - l_r), the margin of the implicit rewards β·l. Adding one is
one function and one line in :data:`PREFERENCE_LOSSES`. At π = π_ref, h is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from modelwright.core.errors import UsageError

DISCOPOP_TEMPERATURE = 0.05
"""τ of equation 5 in Lu et al. 2024 (arXiv:2406.08414), as the paper recommends."""


@dataclass(frozen=True)
class Pairs:
    """What a model and its reference say of P pairs of answers; all tensors (P,), float32.

    Attributes
    ----------
    chosen, rejected : Tensor
        Log-probability of each answer given its prompt under the policy, summed over its tokens.
    chosen_reference, rejected_reference : Tensor
        The same under the reference, without gradient.
    chosen_lengths, rejected_lengths : Tensor
        Tokens in each answer, at least 1.
    """

    chosen: Tensor
    rejected: Tensor
    chosen_reference: Tensor
    rejected_reference: Tensor
    chosen_lengths: Tensor
    rejected_lengths: Tensor

    @property
    def chosen_ratios(self) -> Tensor:
        """Log-ratios l_c (P,)."""
        return self.chosen - self.chosen_reference

    @property
    def rejected_ratios(self) -> Tensor:
        """Log-ratios l_r (P,)."""
        return self.rejected - self.rejected_reference

    @property
    def margins(self) -> Tensor:
        """Differences of the log-ratios, h / β (P,)."""
        return self.chosen_ratios - self.rejected_ratios

    @property
    def average_margins(self) -> Tensor:
        """The same where each log-ratio is divided by its answer's length (P,)."""
        chosen = self.chosen_ratios / self.chosen_lengths
        return chosen - self.rejected_ratios / self.rejected_lengths


PreferenceLoss = Callable[[Pairs, float, float], Tensor]
"""(pairs, β above 0, label smoothing ε from 0 to below 0.5) → losses (P,), float32."""


def preference_loss(name: str) -> PreferenceLoss:
    """The loss of that name.

    Raises
    ------
    UsageError
        If there is none.
    """
    if name not in PREFERENCE_LOSSES:
        raise UsageError(
            f"there is no preference loss '{name}'",
            fix=f"choose one of {', '.join(PREFERENCE_LOSSES)}",
        )
    return PREFERENCE_LOSSES[name]


def implicit_rewards(pairs: Pairs, beta: float) -> tuple[Tensor, Tensor]:
    """Rewards β·l of the chosen and the rejected answers (section 4 of the DPO paper), detached."""
    return beta * pairs.chosen_ratios.detach(), beta * pairs.rejected_ratios.detach()


def comparison_measures(chosen: Tensor, rejected: Tensor) -> dict[str, Tensor]:
    """What to watch of the rewards (P,) of chosen and rejected answers: one value a pair.

    An equal pair counts as wrong, so that a model which says nothing has an accuracy of 0.
    """
    return {
        "chosen_reward": chosen,
        "rejected_reward": rejected,
        "margin": chosen - rejected,
        "accuracy": (chosen > rejected).float(),
    }


def smoothed_sigmoid(logits: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy -(1 - ε)·log σ(z) - ε·log σ(-z) of labels that are wrong with probability ε."""
    return -(1 - smoothing) * logsigmoid(logits) - smoothing * logsigmoid(-logits)


def sigmoid(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """DPO, equation 7: -log σ(h)."""
    return -logsigmoid(beta * pairs.margins)


def cdpo(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """Conservative DPO (Mitchell 2023, "A note on DPO with noisy preferences"): smoothed labels."""
    return smoothed_sigmoid(beta * pairs.margins, smoothing)


def robust(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """Robust DPO (Chowdhury et al. 2024, arXiv:2403.00409), unbiased if labels flip with rate ε.

    (-(1 - ε)·log σ(h) + ε·log σ(-h)) / (1 - 2ε)
    """
    if not 0 <= smoothing < 0.5:
        raise UsageError(
            f"the loss 'robust' cannot take labels that are wrong with probability {smoothing}",
            where="label smoothing",
            fix="give a probability from 0 to below 0.5",
        )
    logits = beta * pairs.margins
    kept, flipped = logsigmoid(logits), logsigmoid(-logits)
    return (smoothing * flipped - (1 - smoothing) * kept) / (1 - 2 * smoothing)


def sigmoid_norm(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """Length-normalised DPO (Tülu 3, arXiv:2411.15124): -log σ(β·(l_c/n_c - l_r/n_r))."""
    return -logsigmoid(beta * pairs.average_margins)


def hinge(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """max(0, 1 - h): SLiC's loss on log-ratios (Liu et al. 2023, arXiv:2309.06657)."""
    return relu(1 - beta * pairs.margins)


def ipo(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """IPO (Azar et al. 2023, arXiv:2310.12036), equation 17: (l_c/n_c - l_r/n_r - 1/(2β))².

    The authors meant log-ratios averaged over tokens, which their paper does not say.
    """
    return (pairs.average_margins - 1 / (2 * beta)) ** 2


def exo_pair(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """EXO with two answers (Ji et al. 2024, arXiv:2402.00856), equation 16.

    σ(h)·(log σ(h) - log(1 - ε)) + σ(-h)·(log σ(-h) - log ε), the reverse KL divergence.
    """
    if not 0 < smoothing < 1:
        raise UsageError(
            f"the loss 'exo_pair' is infinite with a label smoothing of {smoothing}",
            where="label smoothing",
            fix="give a value above 0; its paper takes 0.001",
        )
    logits = beta * pairs.margins
    wanted = torch.tensor([1 - smoothing, smoothing], device=logits.device).log()
    kept, flipped = logsigmoid(logits), logsigmoid(-logits)
    return kept.exp() * (kept - wanted[0]) + flipped.exp() * (flipped - wanted[1])


def nca_pair(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """NCA with two answers (Chen et al. 2024, arXiv:2402.05369).

    -log σ(β·l_c) - ½·log σ(-β·l_c) - ½·log σ(-β·l_r)
    """
    chosen, rejected = beta * pairs.chosen_ratios, beta * pairs.rejected_ratios
    return -logsigmoid(chosen) - 0.5 * logsigmoid(-chosen) - 0.5 * logsigmoid(-rejected)


def bco_pair(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """BCO with pairs (Jung et al. 2024, arXiv:2404.04656), without the running mean of rewards.

    -log σ(β·l_c) - log σ(-β·l_r)
    """
    return -logsigmoid(beta * pairs.chosen_ratios) - logsigmoid(-beta * pairs.rejected_ratios)


def sppo_hard(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """SPPO (Wu et al. 2024, arXiv:2405.00675), equation 4.7, with winning probabilities 1 and 0.

    (l_c - 1/(2β))² + (l_r + 1/(2β))²
    """
    target = 0.5 / beta
    return (pairs.chosen_ratios - target) ** 2 + (pairs.rejected_ratios + target) ** 2


def aot(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """AOT of paired answers (Melnyk et al. 2024, arXiv:2406.05882).

    The distribution of log π(y_c) - log π(y_r) over the pairs shall dominate the reference's: both
    are sorted and compared rank by rank. So a loss belongs to a rank, not to a pair, and depends
    on which pairs are in the micro-batch.
    """
    policy = (pairs.chosen - pairs.rejected).sort().values
    reference = (pairs.chosen_reference - pairs.rejected_reference).sort().values
    return smoothed_sigmoid(beta * (policy - reference), smoothing)


def aot_unpaired(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """AOT of answers that need not be pairs: sorted l_c against sorted l_r, rank by rank."""
    chosen, rejected = pairs.chosen_ratios.sort().values, pairs.rejected_ratios.sort().values
    return smoothed_sigmoid(beta * (chosen - rejected), smoothing)


def apo_zero(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """APO-zero (D'Oosterlinck et al. 2024, arXiv:2408.06266), equation 7: σ(-β·l_c) + σ(β·l_r).

    For chosen answers that are better than the model's own: they become likelier.
    """
    chosen, rejected = beta * pairs.chosen_ratios, beta * pairs.rejected_ratios
    return torch.sigmoid(-chosen) + torch.sigmoid(rejected)


def apo_down(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """APO-down (the same paper), equation 8: σ(β·l_c) + σ(-h).

    For chosen answers that are worse than the model's own: both become less likely.
    """
    return torch.sigmoid(beta * pairs.chosen_ratios) + torch.sigmoid(-beta * pairs.margins)


def discopop(pairs: Pairs, beta: float, smoothing: float) -> Tensor:
    """DiscoPOP (Lu et al. 2024, arXiv:2406.08414), equation 5: -(1 - w)·log σ(h) + w·exp(-h).

    The weight w is σ(h / τ).
    """
    logits = beta * pairs.margins
    weight = torch.sigmoid(logits / DISCOPOP_TEMPERATURE)
    # w·exp(-h) as exp(log w - h): far below 0, w vanishes and exp(-h) overflows.
    exponential = (logsigmoid(logits / DISCOPOP_TEMPERATURE) - logits).exp()
    return exponential - (1 - weight) * logsigmoid(logits)


PREFERENCE_LOSSES: dict[str, PreferenceLoss] = {
    "sigmoid": sigmoid,
    "cdpo": cdpo,
    "robust": robust,
    "sigmoid_norm": sigmoid_norm,
    "hinge": hinge,
    "ipo": ipo,
    "exo_pair": exo_pair,
    "nca_pair": nca_pair,
    "bco_pair": bco_pair,
    "sppo_hard": sppo_hard,
    "aot": aot,
    "aot_unpaired": aot_unpaired,
    "apo_zero": apo_zero,
    "apo_down": apo_down,
    "discopop": discopop,
}
