"""How much a policy pays for leaving its reference: fixed, or adapted to a target."""

from __future__ import annotations

ERROR_LIMIT = 0.2
"""By how much of the target a measurement counts at most (Ziegler et al. 2019)."""


def next_coefficient(coefficient: float, measured: float, target: float, gain: float) -> float:
    """Raise the KL coefficient if the divergence is above its target, lower it if below.

    β · (1 + K · clip(KL / target - 1, -0.2, 0.2)), section 2.2 of Ziegler et al. 2019
    (arXiv:1909.08593). A fixed coefficient is one that this is not called for.

    Parameters
    ----------
    coefficient : float
        β of the step that was measured, above 0.
    measured : float
        Mean over the step's sequences of KL(policy ‖ reference), in nats a sequence.
    target : float
        What it should be, above 0.
    gain : float
        K, from 0 to 1; the paper takes 0.1, its code (sequences in the step) / 10,000.
    """
    error = min(max(measured / target - 1, -ERROR_LIMIT), ERROR_LIMIT)
    return coefficient * (1 + gain * error)
