"""The loss of PPO's value head."""

from __future__ import annotations

import torch
from torch import Tensor


def clipped_value_losses(
    values: Tensor, old_values: Tensor, returns: Tensor, clip: float
) -> Tensor:
    """½·max((V - R)², (clip(V, V_old ± ε) - R)²) of each token.

    The value may not move further than ε from what it was at the rollout, as the ratio of PPO may
    not (Huang et al. 2024, arXiv:2403.17031, describe it).

    Parameters
    ----------
    values, old_values : Tensor
        Values now, and at the rollout (B, T), float32.
    returns : Tensor
        What they should be (B, T).
    clip : float
        ε, above 0.

    Returns
    -------
    Tensor
        (B, T), float32; to be averaged over real tokens.
    """
    clipped = torch.clamp(values, old_values - clip, old_values + clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (clipped - returns) ** 2)
