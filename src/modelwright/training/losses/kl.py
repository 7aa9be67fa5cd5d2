"""How far a policy is from its reference, estimated from the tokens that it sampled."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

KLForm = Literal["k1", "k2", "k3"]


def kl_estimates(form: KLForm, log_probabilities: Tensor, reference: Tensor) -> Tensor:
    """Estimates of KL(π ‖ π_ref) from single tokens (Schulman 2020, "Approximating KL divergence").

    With d = log π_ref - log π: k1 is -d, unbiased; k2 is d²/2, never negative; k3 is
    exp(d) - d - 1, both.
    """
    difference = reference - log_probabilities
    if form == "k1":
        return -difference
    if form == "k2":
        return difference**2 / 2
    return torch.expm1(difference) - difference


def kl_penalties(
    form: KLForm, log_probabilities: Tensor, reference: Tensor, ratios: Tensor | None = None
) -> Tensor:
    """Penalty of each token, to be added to its loss with a coefficient β.

    Parameters
    ----------
    form : {"k1", "k2", "k3"}
        See :func:`kl_estimates`. Without ratios, the gradient of k1 is 0 in the mean, that of k3
        is of the forward divergence, and only that of k2 is right.
    log_probabilities, reference : Tensor
        Of the sampled tokens under policy and reference (B, T).
    ratios : Tensor, optional
        Importance ratios, which make the gradient that of KL(π ‖ π_ref) for k1 and k3, on policy
        too (DeepSeek-V3.2, arXiv:2512.02556; TRL 1.16 does so by default).
    """
    estimates = kl_estimates(form, log_probabilities, reference)
    return estimates if ratios is None else estimates * ratios
