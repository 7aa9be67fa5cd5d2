"""Sizes of gradients and updates, as tensors: who never reads them never waits for the device."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def clip_gradients(parameters: Iterable[nn.Parameter], largest: float) -> Tensor:
    """Scale all gradients, in place, so that their common norm is at most ``largest``.

    Returns
    -------
    Tensor
        The Euclidean norm before, 0-d; not finite if any gradient is not.
    """
    with_gradient = [p for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(p.grad for p in with_gradient if p.grad is not None)
    torch.nn.utils.clip_grads_with_norm_(with_gradient, largest, norm)
    return norm


def copy_weights(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """What :func:`relative_change` needs from before the step."""
    return [p.detach().clone() for p in parameters]


@torch.no_grad()
def relative_change(before: list[Tensor], parameters: Iterable[nn.Parameter]) -> Tensor:
    """Norm of what a step changed, divided by the norm of the weights before it.

    Parameters
    ----------
    before : list of Tensor
        Of :func:`copy_weights`; its contents are lost.
    parameters : iterable of nn.Parameter
        The same parameters in the same order.

    Returns
    -------
    Tensor
        0-d.
    """
    size = torch.nn.utils.get_total_norm(before)
    torch._foreach_sub_(before, [p.detach() for p in parameters])
    return torch.nn.utils.get_total_norm(before) / size
