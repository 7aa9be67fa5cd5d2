"""The loss of a reward model."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry(
    chosen: Tensor, rejected: Tensor, margins: Tensor | None = None, centring: float = 0.0
) -> Tensor:
    """Negative log-likelihood that the better answer is preferred (Bradley and Terry 1952).

    -log σ(r_c - r_r - m) + k·(r_c + r_r)²

    Parameters
    ----------
    chosen, rejected : Tensor
        Rewards r of both answers (P,), float32.
    margins : Tensor, optional
        By how much the chosen answer is better, m (P,) (Touvron et al. 2023, arXiv:2307.09288,
        equation 2).
    centring : float
        k; above 0, rewards stay around 0, which comparisons alone leave open (Eisenstein et al.
        2023, arXiv:2312.09244). 0.01 is usual.

    Returns
    -------
    Tensor
        Losses (P,), float32.
    """
    difference = chosen - rejected
    losses = -logsigmoid(difference if margins is None else difference - margins)
    return losses + centring * (chosen + rejected) ** 2
