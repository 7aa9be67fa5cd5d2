"""Muon: momentum, made orthogonal, as the update of a matrix (Jordan et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from modelwright.models.sharded import assembled, is_sharded, like, piece_of
from modelwright.training.optimizers.orthogonalise import orthogonalise

LARGEST_STACK = 1 << 26
"""Numbers that are orthogonalised at once: more would not be faster, only take more memory."""


class Muon(torch.optim.Optimizer):
    """Muon with decoupled weight decay, for matrices.

    With gradient g, momentum μ, rate η and decay λ, a step is

        m ← μ m + (1 - μ) g
        u = orthogonalise(μ m + (1 - μ) g)
        w ← (1 - η λ) w - 0.2 η √max(rows, columns) u

    The factor gives the update about the root mean square of AdamW's (Liu et al. 2025,
    arXiv:2502.16982, eq. 4), so that both take rates of the same size. Matrices of one shape go
    through :func:`orthogonalise` together.

    Parameters
    ----------
    groups : iterable of dict
        Each with ``params`` (all 2-D), ``lr`` and ``weight_decay``.
    momentum : float
        μ.
    dtype : torch.dtype
        Of the matrix products.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(groups, {"momentum": momentum})
        self.dtype = dtype
        self.found_inf: Tensor | None = None
        """1 on the device if the step is not to be taken, as torch's own optimizers have it."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            for stack in _stacks(parameters):
                self._step_stack(stack, group["lr"], group["weight_decay"], group["momentum"])

    def _step_stack(
        self, parameters: list[Tensor], rate: float, decay: float, momentum: float
    ) -> None:
        gradients = [piece_of(p.grad) for p in parameters if p.grad is not None]
        averages = [piece_of(self._momentum(p)) for p in parameters]
        taken: float | Tensor = 1.0
        if self.found_inf is not None:
            taken, is_bad = 1 - self.found_inf, self.found_inf.bool()
            # In the average's own place a gradient changes nothing.
            pairs = zip(averages, gradients, strict=True)
            gradients = [torch.where(is_bad, average, one) for average, one in pairs]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        ahead = torch.lerp(torch.stack(gradients), torch.stack(averages), momentum)  # Nesterov
        updates = self._orthogonal(ahead, parameters)
        size = 0.2 * math.sqrt(max(parameters[0].shape))
        pieces = [piece_of(p) for p in parameters]
        torch._foreach_mul_(pieces, 1 - rate * decay * taken)
        torch._foreach_sub_(pieces, (updates * (rate * size * taken)).unbind())

    def _orthogonal(self, ahead: Tensor, parameters: list[Tensor]) -> Tensor:
        """The update of a stack of which ``ahead`` is this process's piece; again that piece."""
        if not is_sharded(parameters[0]):
            return orthogonalise(ahead, self.dtype).to(ahead.dtype)
        # Each process works out all of it: a matrix cannot be made orthogonal in pieces.
        complete = [assembled(p, piece) for p, piece in zip(parameters, ahead, strict=True)]
        updates = orthogonalise(torch.stack(complete), self.dtype).to(ahead.dtype)
        return torch.stack(
            [piece_of(like(p, update)) for p, update in zip(parameters, updates, strict=True)]
        )

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def _stacks(parameters: list[Tensor]) -> Iterator[list[Tensor]]:
    """Parameters of equal shape, device and type, in their order, as many as go together."""
    alike = dict[object, list[Tensor]]()
    for parameter in parameters:
        key = (parameter.shape, parameter.device, parameter.dtype)
        alike.setdefault(key, []).append(parameter)
    for stack in alike.values():
        count = max(1, LARGEST_STACK // stack[0].numel())
        for start in range(0, len(stack), count):
            yield stack[start : start + count]
