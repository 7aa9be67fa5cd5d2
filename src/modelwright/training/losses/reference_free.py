"""Losses of pairs without a reference model: ORPO, SimPO, CPO.

All take log-probabilities of the chosen (c) and the rejected (r) answers (P,), float32, either
summed or averaged over an answer's tokens, and give losses (P,).

ORPO and CPO add the negative log-likelihood of the chosen answers, averaged over *tokens*, to a
mean over *pairs*: :func:`with_likelihood` does.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from modelwright.training.losses.preference import smoothed_sigmoid


def with_likelihood(
    losses: Tensor, log_probabilities: Tensor, tokens_per_pair: float, weight: float = 1.0
) -> Tensor:
    """Add a token-mean negative log-likelihood to losses of pairs.

    Parameters
    ----------
    losses : Tensor
        Losses of pairs (P,).
    log_probabilities : Tensor
        Log-probabilities to be raised, summed over tokens (P,).
    tokens_per_pair : float
        Their tokens divided by the pairs, over the whole step: the mean of the result over all
        pairs then holds the mean over all tokens, however the step is cut into micro-batches.
    weight : float
        Of the likelihood.
    """
    return losses - weight / tokens_per_pair * log_probabilities


def log_odds_ratios(chosen_means: Tensor, rejected_means: Tensor) -> Tensor:
    """log(odds(c) / odds(r)) with odds(y) = p / (1 - p) and p = exp(mean log-probability).

    Equations 4 and 7 of Hong et al. 2024 (arXiv:2403.07691).
    """
    odds_difference = _log_complement(chosen_means) - _log_complement(rejected_means)
    return chosen_means - rejected_means - odds_difference


def odds_ratio(chosen_means: Tensor, rejected_means: Tensor) -> Tensor:
    """The second term of ORPO (equation 7 there): -log σ(log odds ratio)."""
    return -logsigmoid(log_odds_ratios(chosen_means, rejected_means))


def orpo(
    chosen_means: Tensor,
    rejected_means: Tensor,
    text_sums: Tensor,
    tokens_per_pair: float,
    beta: float,
) -> Tensor:
    """ORPO (Hong et al. 2024, arXiv:2403.07691), equation 6, as the authors' code and TRL have it.

    The likelihood is that of prompt *and* chosen answer, averaged over all tokens of the step.

    Parameters
    ----------
    chosen_means, rejected_means : Tensor
        Log-probabilities of the answers, averaged over their tokens (P,).
    text_sums : Tensor
        Log-probabilities of prompts and chosen answers, summed over their tokens (P,).
    tokens_per_pair : float
        As :func:`with_likelihood` has it.
    beta : float
        Weight of the odds ratio, λ of the paper.
    """
    losses = beta * odds_ratio(chosen_means, rejected_means)
    return with_likelihood(losses, text_sums, tokens_per_pair)


def orpo_by_answer(chosen_means: Tensor, rejected_means: Tensor, beta: float) -> Tensor:
    """ORPO as LLaMA-Factory has it: the likelihood is the mean over each chosen answer's tokens."""
    return beta * odds_ratio(chosen_means, rejected_means) - chosen_means


def simpo(
    chosen_means: Tensor,
    rejected_means: Tensor,
    beta: float,
    margin: float,
    smoothing: float = 0.0,
) -> Tensor:
    """SimPO (Meng et al. 2024, arXiv:2405.14734), equation 6: -log σ(β·(mean_c - mean_r) - γ).

    Parameters
    ----------
    chosen_means, rejected_means : Tensor
        Log-probabilities of the answers, averaged over their tokens (P,).
    beta : float
        β; the paper takes 2 to 2.5, where DPO takes 0.1.
    margin : float
        γ, by how much the reward of the chosen answer should be higher.
    smoothing : float
        Probability that a label is wrong.
    """
    return smoothed_sigmoid(beta * (chosen_means - rejected_means) - margin, smoothing)


def cpo(
    chosen_sums: Tensor,
    rejected_sums: Tensor,
    tokens_per_pair: float,
    beta: float,
    likelihood_weight: float = 1.0,
    smoothing: float = 0.0,
) -> Tensor:
    """CPO (Xu et al. 2024, arXiv:2401.08417), equation 3: -log σ(β·(c - r)), and the likelihood.

    Parameters
    ----------
    chosen_sums, rejected_sums : Tensor
        Log-probabilities of the answers, summed over their tokens (P,).
    tokens_per_pair : float
        As :func:`with_likelihood` has it.
    beta : float
        β, above 0.
    likelihood_weight : float
        Of the negative log-likelihood.
    smoothing : float
        Probability that a label is wrong.
    """
    losses = smoothed_sigmoid(beta * (chosen_sums - rejected_sums), smoothing)
    return with_likelihood(losses, chosen_sums, tokens_per_pair, likelihood_weight)


def _log_complement(logs: Tensor) -> Tensor:
    """log(1 - exp(x)) for x below 0, exact at both ends (Mächler 2012, "Accurately computing ...").

    Each branch is kept from values that would make its unused gradient infinite.
    """
    is_small = logs < -0.6931471805599453  # -ln 2
    far = torch.log1p(-logs.where(is_small, -1.0).exp())
    near = torch.log(-torch.expm1(logs.where(~is_small, -0.5)))
    return torch.where(is_small, far, near)
